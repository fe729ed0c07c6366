// The whole library but the experiments: tensors and their ops, gradients, layers, optimizers,
// data.
#pragma once

#include <shatter/core/autograd.h>
#include <shatter/core/captured_work.h>
#include <shatter/core/gradcheck.h>
#include <shatter/core/hessian.h>
#include <shatter/core/indexing.h>
#include <shatter/core/linear_algebra.h>
#include <shatter/core/losses.h>
#include <shatter/core/npy.h>
#include <shatter/core/ops.h>
#include <shatter/core/random.h>
#include <shatter/core/safetensors.h>
#include <shatter/core/tensor.h>
#include <shatter/data/batches.h>
#include <shatter/data/corruption.h>
#include <shatter/data/dataset.h>
#include <shatter/data/randomize.h>
#include <shatter/data/standardize.h>
#include <shatter/layers/layers.h>
#include <shatter/layers/module.h>
#include <shatter/optim/optimizer.h>
