// Parameter updates against their formulas, several tensors at once.
#include <shatter/kernels/optimizer.h>

#include "tests/support/catch.h"
#include "tests/support/devices.h"
#include "tests/support/tolerance.h"

using namespace shatter;
using namespace shatter::kernels;
using namespace shatter::test;

namespace {

constexpr double rate = 0.15;
const std::vector<std::int64_t> lengths{1, 0, 31, 1003, 10001};

/// The tensors of a model, on the host or (pointers) on a device.
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

  static double decay(std::size_t i) { return i % 2 ? 0.01 : 0.0; }

  template <class On>
  std::vector<UpdateTensor<T>> on_device(On& on, bool with_state, bool with_buffer) const {
    std::vector<UpdateTensor<T>> tensors;
    for (std::size_t i = 0; i < lengths.size(); ++i)
      tensors.push_back({on.put(w[i]), on.put(dw[i]), with_state ? on.put(state[i]) : nullptr,
                         with_buffer ? on.put(buffer[i]) : nullptr, lengths[i], decay(i)});
    return tensors;
  }
};

// Applies `update(on, tensors)` on each device and `step` (w, g, s, b in place) in double.
template <class T, class Update, class Step>
void compare(bool with_state, bool with_buffer, Update update, Step step) {
  const Model<T> model;
  on_devices([&](auto& on) {
    const auto tensors = model.on_device(on, with_state, with_buffer);
    update(on, tensors);
    for (std::size_t i = 0; i < lengths.size(); ++i) {
      auto w = to_double(model.w[i]), s = to_double(model.state[i]);
      auto b = to_double(model.buffer[i]);
      for (std::size_t j = 0; j < w.size(); ++j) {
        const double g = double(model.dw[i][j]) + Model<T>::decay(i) * w[j];
        step(rate, g, w[j], s[j], b[j]);
      }
      require_close(on.result(tensors[i].w), w, 1, 1);
      if (with_state) require_close(on.result(tensors[i].state), s, 1, 1);
      if (with_buffer) require_close(on.result(tensors[i].momentum_buffer), b, 1, 1);
    }
  });
}

}  // namespace

TEMPLATE_TEST_CASE("sgd_update with momentum, Nesterov's, and none", "", float, double) {
  using T = TestType;
  for (const bool nesterov : {false, true})
    compare<T>(
        true, false,
        [&](auto& on, const std::vector<UpdateTensor<T>>& tensors) {
          sgd_update<T>(on.context, tensors, on.put_value(rate), nullptr, 0.9, nesterov);
        },
        [&](double r, double g, double& w, double& v, double&) {
          v = 0.9 * v + g;
          w -= r * (nesterov ? g + 0.9 * v : v);
        });
  compare<T>(
      false, false,
      [&](auto& on, const std::vector<UpdateTensor<T>>& tensors) {
        sgd_update<T>(on.context, tensors, on.put_value(rate), on.put_value(std::int32_t{0}), 0,
                      false);
      },
      [](double r, double g, double& w, double&, double&) { w -= r * g; });
}

TEMPLATE_TEST_CASE("rmsprop_update with and without momentum", "", float, double) {
  using T = TestType;
  for (const bool momentum : {false, true})
    compare<T>(
        true, momentum,
        [&](auto& on, const std::vector<UpdateTensor<T>>& tensors) {
          rmsprop_update<T>(on.context, tensors, on.put_value(rate), nullptr, 0.9,
                            momentum ? 0.8 : 0, 1);
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
  const Model<T> model;
  on_devices([&](auto& on) {
    const auto tensors = model.on_device(on, true, true);
    const auto* const stopped = on.put_value(std::int32_t{1});
    sgd_update<T>(on.context, tensors, on.put_value(rate), stopped, 0.9, false);
    rmsprop_update<T>(on.context, tensors, on.put_value(rate), stopped, 0.9, 0.8, 1);
    for (std::size_t i = 0; i < lengths.size(); ++i) {
      REQUIRE(on.get(tensors[i].w) == model.w[i]);
      REQUIRE(on.get(tensors[i].state) == model.state[i]);
      REQUIRE(on.get(tensors[i].momentum_buffer) == model.buffer[i]);
    }
  });
}

TEST_CASE("more tensors than one launch takes are all updated") {
  on_devices([&](auto& on) {
    std::vector<UpdateTensor<float>> tensors;
    for (int i = 0; i < 150; ++i)
      tensors.push_back({on.put_value(float(i)), on.put_value(2.0f), nullptr, nullptr, 1, 0});
    sgd_update<float>(on.context, tensors, on.put_value(0.5), nullptr, 0, false);
    for (int i = 0; i < 150; ++i) REQUIRE(on.get(tensors[std::size_t(i)].w)[0] == float(i - 1));
  });
}

TEST_CASE("updating no tensors does nothing") {
  on_devices([&](auto& on) {
    sgd_update<float>(on.context, {}, nullptr, nullptr, 0.9, false);
    rmsprop_update<double>(on.context, {}, nullptr, nullptr, 0.9, 0, 1e-3);
  });
}
