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
  std::vector<std::vector<T>> w, dw, buffers[most_buffers];

  Model() {
    for (std::size_t i = 0; i < lengths.size(); ++i) {
      w.push_back(random_values<T>(lengths[i], 10 + i));
      dw.push_back(random_values<T>(lengths[i], 20 + i));
      buffers[0].push_back(random_values<T>(lengths[i], 30 + i, 0, 1));
      buffers[1].push_back(random_values<T>(lengths[i], 40 + i, 0, 1));
    }
  }

  static double decay(std::size_t i) { return i % 2 ? 0.01 : 0.0; }
  static double scale(std::size_t i) { return i % 3 ? 1.0 : 0.5; }

  template <class On>
  std::vector<UpdateTensor<T>> on_device(On& on, int with_buffers) const {
    std::vector<UpdateTensor<T>> tensors;
    for (std::size_t i = 0; i < lengths.size(); ++i) {
      tensors.push_back({.w = on.put(w[i]),
                         .dw = on.put(dw[i]),
                         .n = lengths[i],
                         .weight_decay = decay(i),
                         .rate_scale = scale(i)});
      for (int k = 0; k < with_buffers; ++k) tensors[i].buffers[k] = on.put(buffers[k][i]);
    }
    return tensors;
  }
};

/// What an update leaves of one element: the parameter and the buffers.
struct Element {
  double w, first, second;
};
using Formula = Element (*)(double rate, double decay, double g, Element before);

// Update 3 by the rule on each device against the formula in double.
template <class T>
void compare(const UpdateRule& rule, int with_buffers, Formula formula) {
  const Model<T> model;
  on_devices([&](auto& on) {
    const auto tensors = model.on_device(on, with_buffers);
    auto* const count = on.put_value(std::int64_t{2});
    update<T>(
        on.context, rule, tensors,
        {.rate = on.put_value(rate), .stopped = on.put_value(std::int32_t{0}), .count = count});
    CHECK(on.get(count)[0] == (std::holds_alternative<AdamRule>(rule) ? 3 : 2));
    for (std::size_t i = 0; i < lengths.size(); ++i) {
      std::vector<double> w, first, second;
      for (std::size_t j = 0; j < model.w[i].size(); ++j) {
        const Element after =
            formula(rate * Model<T>::scale(i), Model<T>::decay(i), double(model.dw[i][j]),
                    {double(model.w[i][j]), double(model.buffers[0][i][j]),
                     double(model.buffers[1][i][j])});
        w.push_back(after.w), first.push_back(after.first), second.push_back(after.second);
      }
      require_close(on.result(tensors[i].w), w, 1, 1);
      if (with_buffers > 0) require_close(on.result(tensors[i].buffers[0]), first, 1, 1);
      if (with_buffers > 1) require_close(on.result(tensors[i].buffers[1]), second, 1, 1);
    }
  });
}

const std::vector<UpdateRule> all_rules = {SgdRule{},
                                           MomentumRule{0.9},
                                           NesterovRule{0.9},
                                           RmsPropRule{0.9, 1},
                                           RmsPropMomentumRule{{0.9, 1}, 0.8},
                                           AdamRule{0.9, 0.99, 1, false},
                                           AdamRule{0.9, 0.99, 1, true},
                                           AverageRule{0.9},
                                           ScaleRule{}};

}  // namespace

TEMPLATE_TEST_CASE("update by SGD with momentum, Nesterov's, and none", "", float, double) {
  using T = TestType;
  compare<T>(SgdRule{}, 0, [](double r, double decay, double g, Element x) {
    return Element{x.w - r * (g + decay * x.w), 0, 0};
  });
  compare<T>(MomentumRule{0.9}, 1, [](double r, double decay, double g, Element x) {
    const double v = 0.9 * x.first + g + decay * x.w;
    return Element{x.w - r * v, v, 0};
  });
  compare<T>(NesterovRule{0.9}, 1, [](double r, double decay, double g, Element x) {
    const double v = 0.9 * x.first + g + decay * x.w;
    return Element{x.w - r * (g + decay * x.w + 0.9 * v), v, 0};
  });
}

TEMPLATE_TEST_CASE("update by RMSProp with and without momentum", "", float, double) {
  using T = TestType;
  compare<T>(RmsPropRule{0.9, 1}, 1, [](double r, double decay, double g, Element x) {
    g += decay * x.w;
    const double s = 0.9 * x.first + 0.1 * g * g;
    return Element{x.w - r * g / std::sqrt(s + 1), s, 0};
  });
  compare<T>(RmsPropMomentumRule{{0.9, 1}, 0.8}, 2,
             [](double r, double decay, double g, Element x) {
               g += decay * x.w;
               const double s = 0.9 * x.first + 0.1 * g * g;
               const double b = 0.8 * x.second + r * g / std::sqrt(s + 1);
               return Element{x.w - b, s, b};
             });
}

TEMPLATE_TEST_CASE("update by Adam, its decay in the gradient or decoupled", "", float, double) {
  using T = TestType;
  compare<T>(AdamRule{0.9, 0.99, 1, false}, 2, [](double r, double decay, double g, Element x) {
    g += decay * x.w;
    const double m = 0.9 * x.first + 0.1 * g, s = 0.99 * x.second + 0.01 * g * g;
    const double mean = m / (1 - 0.9 * 0.9 * 0.9), square = s / (1 - 0.99 * 0.99 * 0.99);
    return Element{x.w - r * mean / (std::sqrt(square) + 1), m, s};
  });
  compare<T>(AdamRule{0.9, 0.99, 1, true}, 2, [](double r, double decay, double g, Element x) {
    const double m = 0.9 * x.first + 0.1 * g, s = 0.99 * x.second + 0.01 * g * g;
    const double mean = m / (1 - 0.9 * 0.9 * 0.9), square = s / (1 - 0.99 * 0.99 * 0.99);
    return Element{x.w * (1 - r * decay) - r * mean / (std::sqrt(square) + 1), m, s};
  });
}

TEMPLATE_TEST_CASE("update of an average, and scaling", "", float, double) {
  using T = TestType;
  compare<T>(AverageRule{0.9}, 0, [](double, double, double g, Element x) {
    return Element{0.9 * x.w + 0.1 * g, 0, 0};
  });
  compare<T>(ScaleRule{}, 0, [](double r, double, double g, Element) {
    return Element{r * g, 0, 0};
  });
}

TEMPLATE_TEST_CASE("updates change nothing once training has stopped", "", float, double) {
  using T = TestType;
  const Model<T> model;
  on_devices([&](auto& on) {
    const auto tensors = model.on_device(on, most_buffers);
    auto* const count = on.put_value(std::int64_t{5});
    for (const UpdateRule& rule : all_rules)
      update<T>(
          on.context, rule, tensors,
          {.rate = on.put_value(rate), .stopped = on.put_value(std::int32_t{1}), .count = count});
    CHECK(on.get(count)[0] == 5);
    for (std::size_t i = 0; i < lengths.size(); ++i) {
      REQUIRE(on.get(tensors[i].w) == model.w[i]);
      for (int k = 0; k < most_buffers; ++k)
        REQUIRE(on.get(tensors[i].buffers[k]) == model.buffers[k][i]);
    }
  });
}

TEST_CASE("more tensors than one launch takes are all updated") {
  on_devices([&](auto& on) {
    std::vector<UpdateTensor<float>> tensors;
    for (int i = 0; i < 150; ++i)
      tensors.push_back({.w = on.put_value(float(i)), .dw = on.put_value(2.0f), .n = 1});
    update<float>(on.context, SgdRule{}, tensors, {.rate = on.put_value(0.5)});
    for (int i = 0; i < 150; ++i) REQUIRE(on.get(tensors[std::size_t(i)].w)[0] == float(i - 1));
    auto* const norm = on.put_value(0.0);
    auto* const factor = on.put_value(0.0);
    gradient_norm<float>(on.context, tensors, 1, norm, factor);
    CHECK(on.get(norm)[0] == Approx(std::sqrt(600.0)).epsilon(1e-15));
  });
}

TEMPLATE_TEST_CASE("gradient_norm is that of all tensors, and its factor clips it", "", float,
                   double) {
  using T = TestType;
  const Model<T> model;
  double squares = 0;
  for (const auto& dw : model.dw)
    for (const T value : dw) squares += double(value) * double(value);
  const double expected = std::sqrt(squares);
  on_devices([&](auto& on) {
    const auto tensors = model.on_device(on, 0);
    auto* const norm = on.put_value(0.0);
    auto* const factor = on.put_value(0.0);
    const auto measure = [&](double most) {
      gradient_norm<T>(on.context, tensors, most, norm, factor);
      require_close(on.result(norm), {expected}, double(lengths.back()), 1);
      return on.get(factor)[0];
    };
    CHECK(measure(2 * expected) == 1);
    CHECK(measure(expected / 4) == Approx(0.25).epsilon(1e-12));
    CHECK(measure(0) == 0);
    for (const double wrong : {HUGE_VAL, std::nan("")}) {
      std::vector<T> values = model.dw[2];
      values[5] = static_cast<T>(wrong);
      const std::vector<UpdateTensor<T>> one = {{.dw = on.put(values), .n = lengths[2]}};
      gradient_norm<T>(on.context, one, 1, norm, factor);
      CHECK(!std::isfinite(on.get(norm)[0]));
      CHECK(std::isnan(on.get(factor)[0]));
    }
  });
}

TEST_CASE("updating no tensors does nothing but count") {
  on_devices([&](auto& on) {
    auto* const count = on.put_value(std::int64_t{0});
    for (const UpdateRule& rule : all_rules)
      update<float>(on.context, rule, {}, {.rate = nullptr, .count = count});
    CHECK(on.get(count)[0] == 2);
    auto* const norm = on.put_value(1.0);
    auto* const factor = on.put_value(0.0);
    gradient_norm<double>(on.context, {}, 3, norm, factor);
    CHECK(on.get(norm)[0] == 0);
    CHECK(on.get(factor)[0] == 1);
  });
}
