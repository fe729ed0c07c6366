// Every optimizer over 50 steps against PyTorch's, by tests/golden/make_optimizers_golden.py; left
// after some of them and taken up again.
#include <fstream>
#include <sstream>

#include "tests/support/catch.h"
#include "tests/support/optimizers.h"
#include "tests/support/tolerance.h"

using namespace shatter;
using namespace shatter::test;

namespace {

std::vector<double> numbers_of(std::ifstream& file) {
  std::string line;
  REQUIRE(std::getline(file, line));
  std::istringstream words(line);
  std::vector<double> numbers;
  for (double number = 0; words >> number;) numbers.push_back(number);
  return numbers;
}

/// Without the count of steps.
std::vector<double> buffers_of(const optim::Optimizer& optimizer) {
  std::vector<NamedTensor> state = optimizer.state();
  if (!state.empty() && state.back().name == "steps") state.pop_back();
  return OptimizedPair::values_of(state);
}

}  // namespace

TEST_CASE("50 steps of every optimizer in double equal PyTorch's") {
  std::ifstream file(SHATTER_TEST_DATA "/optimizers.txt");
  for (const NamedOptimizer& one : named_optimizers()) {
    INFO(one.name);
    std::string name;
    REQUIRE(std::getline(file, name));
    REQUIRE(name == one.name);
    const OptimizedPair pair;
    const auto optimizer = one.make(pair.groups());
    pair.train(*optimizer, 0, 20);
    require_close(pair.values(), numbers_of(file), 20);
    pair.train(*optimizer, 20, 50);
    require_close(pair.values(), numbers_of(file), 50);
    require_close(buffers_of(*optimizer), numbers_of(file), 50);
  }
  CHECK(file.peek() == EOF);
}

TEST_CASE("an optimizer whose state was saved goes on to the same bits") {
  for (const NamedOptimizer& one : named_optimizers()) {
    INFO(one.name);
    const OptimizedPair through, left;
    const auto uninterrupted = one.make(through.groups());
    through.train(*uninterrupted, 0, 50);

    const auto first = one.make(left.groups());
    left.train(*first, 0, 20);
    const OptimizedPair taken_up;
    taken_up.a.copy_from(left.a.detach());
    taken_up.b.copy_from(left.b.detach());
    const auto second = one.make(taken_up.groups());
    const auto saved = first->state(), state = second->state();
    REQUIRE(saved.size() == state.size());
    second->set_steps(first->steps());
    if (!state.empty() && state.back().name == "steps") CHECK(state.back().tensor.item() == 20);
    for (std::size_t i = 0; i < saved.size(); ++i) {
      CHECK(saved[i].name == state[i].name);
      state[i].tensor.copy_from(saved[i].tensor);
    }
    taken_up.train(*second, 20, 50);
    CHECK(taken_up.values() == through.values());
    CHECK(OptimizedPair::values_of(second->state()) ==
          OptimizedPair::values_of(uninterrupted->state()));
  }
}

TEST_CASE("an update that is stopped changes neither parameters nor state") {
  for (const DType dtype : {DType::float32, DType::float64}) {
    for (const NamedOptimizer& one : named_optimizers()) {
      INFO(one.name);
      const OptimizedPair pair({}, dtype);
      const auto optimizer = one.make(pair.groups());
      pair.train(*optimizer, 0, 3);
      const auto values = pair.values(), state = OptimizedPair::values_of(optimizer->state());
      pair.set_gradients(3);
      optimizer->update(Tensor::full({1}, 1, DType::int32));
      CHECK(pair.values() == values);
      CHECK(OptimizedPair::values_of(optimizer->state()) == state);
      optimizer->update(Tensor::full({1}, 0, DType::int32));
      CHECK(pair.values() != values);
    }
  }
}
