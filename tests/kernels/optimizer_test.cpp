// Parameter updates against their formulas, several tensors at once.
#include <shatter/kernels/optimizer.h>

#include "tests/support/buffer.h"
#include "tests/support/catch.h"
#include "tests/support/tolerance.h"

using namespace shatter;
using namespace shatter::kernels;
using namespace shatter::test;

namespace {

constexpr double rate = 0.15;
const std::vector<std::int64_t> lengths{1, 0, 31, 1003, 40001};

template <class T>
struct Model {
  std::vector<std::vector<T>> w, dw, state, buffer;

  Model() {
    for (std::size_t i = 0; i < lengths.size(); ++i) {
      w.push_back(random_values<T>(lengths[i], 10 + i));
      dw.push_back(random_values<T>(lengths[i], 20 + i));
      state.push_back(random_values<T>(lengths[i], 30 + i, 0, 1));
      buffer.push_back(random_values<T>(lengths[i], 40 + i));
    }
  }

  std::vector<UpdateTensor<T>> tensors(bool with_state, bool with_buffer) {
    std::vector<UpdateTensor<T>> result;
    for (std::size_t i = 0; i < lengths.size(); ++i)
      result.push_back({w[i].data(), dw[i].data(), with_state ? state[i].data() : nullptr,
                        with_buffer ? buffer[i].data() : nullptr, lengths[i], decay(i)});
    return result;
  }

  static double decay(std::size_t i) { return i % 2 ? 0.01 : 0.0; }
};

// Applies `update(context, model)` on each context and `step` (w, g, s, b in place) in double.
template <class T, class Update, class Step>
void compare(Update update, Step step) {
  Model<T> first;
  for (CpuContext* context : contexts()) {
    Model<T> model;
    update(*context, model);
    if (context->threads() == 1)
      first = model;
    else {
      REQUIRE(model.w == first.w);
      REQUIRE(model.state == first.state);
      REQUIRE(model.buffer == first.buffer);
    }
  }
  Model<T> expected;
  for (std::size_t i = 0; i < lengths.size(); ++i) {
    auto w = to_double(expected.w[i]), s = to_double(expected.state[i]);
    auto b = to_double(expected.buffer[i]);
    for (std::size_t j = 0; j < w.size(); ++j) {
      const double g = double(expected.dw[i][j]) + Model<T>::decay(i) * w[j];
      step(rate, g, w[j], s[j], b[j]);
    }
    require_close(first.w[i], w, 1, 1);
    require_close(first.state[i], s, 1, 1);
    require_close(first.buffer[i], b, 1, 1);
    REQUIRE(first.dw[i] == expected.dw[i]);
  }
}

}  // namespace

TEMPLATE_TEST_CASE("sgd_update with momentum, Nesterov's, and none", "", float, double) {
  using T = TestType;
  for (const bool nesterov : {false, true})
    compare<T>(
        [&](CpuContext& context, Model<T>& model) {
          const auto tensors = model.tensors(true, false);
          sgd_update<T>(context, tensors, &rate, nullptr, 0.9, nesterov);
        },
        [&](double r, double g, double& w, double& v, double&) {
          v = 0.9 * v + g;
          w -= r * (nesterov ? g + 0.9 * v : v);
        });
  compare<T>(
      [&](CpuContext& context, Model<T>& model) {
        const auto tensors = model.tensors(false, false);
        sgd_update<T>(context, tensors, &rate, nullptr, 0, false);
      },
      [](double r, double g, double& w, double&, double&) { w -= r * g; });
}

TEMPLATE_TEST_CASE("rmsprop_update with and without momentum", "", float, double) {
  using T = TestType;
  for (const bool momentum : {false, true})
    compare<T>(
        [&](CpuContext& context, Model<T>& model) {
          const auto tensors = model.tensors(true, momentum);
          rmsprop_update<T>(context, tensors, &rate, nullptr, 0.9, momentum ? 0.8 : 0, 1);
        },
        [&](double r, double g, double& w, double& s, double& b) {
          s = 0.9 * s + 0.1 * g * g;
          const double step = r * g / std::sqrt(s + 1);
          if (momentum) b = 0.8 * b + step;
          w -= momentum ? b : step;
        });
}

TEMPLATE_TEST_CASE("updates change nothing once training has stopped", "", float, double) {
  using T = TestType;
  const std::int32_t stopped = 1;
  for (CpuContext* context : contexts()) {
    Model<T> model, before;
    sgd_update<T>(*context, model.tensors(true, false), &rate, &stopped, 0.9, false);
    rmsprop_update<T>(*context, model.tensors(true, true), &rate, &stopped, 0.9, 0.8, 1);
    REQUIRE(model.w == before.w);
    REQUIRE(model.state == before.state);
    REQUIRE(model.buffer == before.buffer);
  }
}

TEST_CASE("updating no tensors does nothing") {
  CpuContext context(2);
  sgd_update<float>(context, {}, &rate, nullptr, 0.9, false);
  rmsprop_update<double>(context, {}, &rate, nullptr, 0.9, 0, 1e-3);
}
