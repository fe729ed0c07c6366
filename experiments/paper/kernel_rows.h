// The computations behind Table 3: what a row's parameters ask for, from images to numbers, on
// context.device.
#pragma once

#include <shatter/experiments/report/measurement.h>

namespace shatter::experiments {

/// Gaussian kernel regression. Parameters: "features" ("pixels" or "gabor", the latter with
/// wavelengths, orientations, pool, stride); the bandwidth, either "gamma" or "gamma_d2", gamma
/// times the mean squared distance; "lambda", "jitter", "residual", "iterations" (SolveOptions).
/// With a list "gammas" the bandwidth is chosen first: fitted to the first "selection_size"
/// training images and judged on the last "held_out". Numbers: test_error, train_error, norm,
/// norm_plus_minus, gamma, residual, iterations, jitter, min_pivot, gflops.
std::optional<Measured> gaussian_regression(const MeasurementContext& context);
Need gaussian_regression_need(const nlohmann::json& parameters, Device device);

/// gaussian_regression for each of "gammas" (curves over gamma) or "lambdas" (curves over lambda).
/// Finished points are kept in context.folder. Numbers: least_error; for gammas norm_growth (the
/// largest over the least norm) and monotone (1 when the norm falls with every larger gamma); for
/// lambdas error_unregularised and gain, its difference from the least error.
std::optional<Measured> bandwidth_sweep(const MeasurementContext& context);
std::optional<Measured> regularisation_sweep(const MeasurementContext& context);
Need sweep_need(const nlohmann::json& parameters, Device device);

/// Least squares on random convolutional features in dual form. Parameters: those of RandomConvnet,
/// "lambdas" (relative to the mean diagonal of the Gram matrix), "held_out": the regulariser is the
/// one that errs least on the last training images, fitted to the others; and those of
/// SolveOptions. Numbers: test_error and train_error at lambda 0, test_error_l2, lambda, residual,
/// jitter. Curves: lambda, held_out_error, test_error.
std::optional<Measured> random_convnet_regression(const MeasurementContext& context);
Need random_convnet_need(const nlohmann::json& parameters, Device device);

}  // namespace shatter::experiments
