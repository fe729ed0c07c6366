// The bookkeeping of training steps against counting by hand.
#include <shatter/kernels/step.h>

#include <limits>

#include "tests/support/catch.h"
#include "tests/support/devices.h"
#include "tests/support/tolerance.h"

using namespace shatter;
using namespace shatter::kernels;
using namespace shatter::test;

namespace {

/// A StepPointers and what it points to, in the memory of one device.
template <class Context>
struct Record {
  On<Context>& on;
  BatchPosition* position;
  std::int64_t* step;
  double *rate, *rates, *losses;
  std::int32_t* stopped;
  StepCounts* counts;

  Record(On<Context>& o, std::int64_t first, std::int32_t is_stopped)
      : on(o),
        position(on.put_value(BatchPosition{first, 3})),
        step(on.put_value(std::int64_t{5})),
        rate(on.put_value(0.5)),
        rates(on.put(std::vector<double>{1, 2, 3, 4, 5, 6, 7})),
        losses(on.put(std::vector<double>{0, 0, 0, 0})),
        stopped(on.put_value(is_stopped)),
        counts(on.put_value(StepCounts{.loss = 10, .correct = 1, .seen = 2})) {}

  StepPointers state() const {
    return {.position = position,
            .step = step,
            .learning_rate = rate,
            .learning_rates = rates,
            .rates = 7,
            .stopped = stopped};
  }
};

}  // namespace

TEMPLATE_TEST_CASE("check_loss notices what is not finite, and forgets nothing", "", float,
                   double) {
  using T = TestType;
  const T infinity = std::numeric_limits<T>::infinity();
  on_devices([&](auto& on) {
    for (const T loss : {T(1), infinity, -infinity, std::numeric_limits<T>::quiet_NaN()}) {
      auto* const stopped = on.put_value(std::int32_t{0});
      check_loss(on.context, on.put_value(loss), stopped);
      CHECK(on.get(stopped)[0] == !std::isfinite(loss));
      check_loss(on.context, on.put_value(T(1)), stopped);
      CHECK(on.get(stopped)[0] == !std::isfinite(loss));
    }
  });
}

TEMPLATE_TEST_CASE("finish_step counts, stores the loss and moves on", "", float, double) {
  using T = TestType;
  for (const std::int64_t batch : {1, 31, 300})
    for (const bool known : {false, true}) {
      const std::int64_t classes = 10, first = 7, images = first + batch;
      auto logits = integer_values<T>(batch * classes, 1);  // with ties
      logits[0] = std::numeric_limits<T>::quiet_NaN();
      std::vector<std::int32_t> labels;
      std::vector<std::int64_t> order;
      std::vector<std::uint8_t> is_true;
      for (std::int64_t i = 0; i < batch; ++i) labels.push_back(std::int32_t(i * i % classes));
      for (std::int64_t i = 0; i < images; ++i) {
        order.push_back(images - 1 - i);
        is_true.push_back(i % 3 == 0);
      }
      StepCounts expected{.loss = 10 + 2.5 * double(batch), .correct = 1, .seen = 2 + batch};
      for (std::int64_t i = 0; i < batch; ++i) {
        std::int64_t best = 0;
        for (std::int64_t c = 1; c < classes && i > 0; ++c)  // row 0: NaN is the largest
          if (logits[std::size_t(i * classes + c)] > logits[std::size_t(i * classes + best)])
            best = c;
        const bool right = best == labels[std::size_t(i)];
        expected.correct += right;
        if (!known) continue;
        const bool clean = is_true[std::size_t(order[std::size_t(first + i)])];
        (clean ? expected.clean_correct : expected.corrupted_correct) += right;
        (clean ? expected.clean_seen : expected.corrupted_seen) += 1;
      }
      on_devices([&](auto& on) {
        Record record(on, first, 0);
        const std::uint8_t* const truth = known ? on.put(is_true) : nullptr;
        finish_step(on.context, record.state(), batch, classes, on.put(logits), on.put(labels),
                    on.put_value(T(2.5)), on.put(order), truth, record.counts, record.losses, 4);
        const StepCounts counts = on.result(record.counts)[0];
        CHECK(counts.loss == expected.loss);
        CHECK(counts.correct == expected.correct);
        CHECK(counts.seen == expected.seen);
        CHECK(counts.clean_correct == expected.clean_correct);
        CHECK(counts.clean_seen == expected.clean_seen);
        CHECK(counts.corrupted_correct == expected.corrupted_correct);
        CHECK(counts.corrupted_seen == expected.corrupted_seen);
        CHECK(on.get(record.losses) == std::vector<double>{0, 2.5, 0, 0});
        CHECK(on.get(record.step)[0] == 6);
        CHECK(on.get(record.position)[0].first == first + batch);
        CHECK(on.get(record.position)[0].epoch == 3);
        CHECK(on.get(record.rate)[0] == 7);
        // Beyond the last learning rate it stays.
        finish_step(on.context, record.state(), 0, classes, on.put(logits), on.put(labels),
                    on.put_value(T(1)), on.put(order), truth, record.counts, record.losses, 4);
        CHECK(on.get(record.rate)[0] == 7);
        CHECK(on.get(record.losses) == std::vector<double>{0, 2.5, 1, 0});
      });
    }
}

TEST_CASE("finish_step changes nothing once training has stopped") {
  on_devices([&](auto& on) {
    Record record(on, 0, 1);
    finish_step(on.context, record.state(), 1, 2, on.put(std::vector<float>{1, 2}),
                on.put(std::vector<std::int32_t>{1}), on.put_value(1.0f),
                on.put(std::vector<std::int64_t>{0}), static_cast<const std::uint8_t*>(nullptr),
                record.counts, record.losses, 4);
    CHECK(on.get(record.counts)[0].seen == 2);
    CHECK(on.get(record.step)[0] == 5);
    CHECK(on.get(record.position)[0].first == 0);
    CHECK(on.get(record.rate)[0] == 0.5);
  });
}

TEST_CASE("finish_step without classes counts images and loss alone") {
  on_devices([&](auto& on) {
    Record record(on, 0, 0);
    const StepCounts before = on.get(record.counts)[0];
    finish_step(on.context, record.state(), 3, 0, static_cast<const double*>(nullptr),
                static_cast<const std::int32_t*>(nullptr), on.put_value(0.5),
                on.put(std::vector<std::int64_t>{0, 1, 2}),
                static_cast<const std::uint8_t*>(nullptr), record.counts, record.losses, 4);
    const StepCounts counts = on.result(record.counts)[0];
    CHECK(counts.seen == before.seen + 3);
    CHECK(counts.correct == before.correct);
    CHECK(counts.clean_seen == before.clean_seen);
    CHECK(counts.loss == before.loss + 1.5);
    CHECK(on.get(record.step)[0] == 6);
  });
}
