// Tensors: shapes, views, conversions, memory.
#include <cmath>
#include <limits>
#include <sstream>

#include <shatter/core/dispatch.h>
#include <shatter/core/ops.h>
#include <shatter/core/tensor.h>

#include "tests/support/catch.h"

using namespace shatter;

namespace {

Tensor counting(const Shape& shape, DType dtype = DType::float64) {
  std::vector<double> values(std::size_t(shape.numel()));
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = double(i);
  return Tensor::from(values, shape).to(dtype);
}

}  // namespace

TEST_CASE("a shape knows its rank, its elements and its text") {
  const Shape shape{2, 3, 4};
  CHECK(shape.rank() == 3);
  CHECK(shape.numel() == 24);
  CHECK(shape[-1] == 4);
  CHECK(shape.str() == "[2, 3, 4]");
  CHECK(Shape{}.numel() == 1);
  CHECK(Shape{}.str() == "[]");
  CHECK((Shape{5, 0}).numel() == 0);
  CHECK(shape.with(1, 7) == Shape{2, 7, 4});
  CHECK(shape != Shape{2, 3});
}

TEST_CASE("a shape refuses what is none") {
  CHECK_THROWS_WITH((Shape{2, -1}), Contains("dimension 1 is -1"));
  CHECK_THROWS_AS((Shape{1, 1, 1, 1, 1, 1, 1}), Error);
  CHECK_THROWS_WITH((Shape{2, 3})[2], Contains("[2, 3] has no dimension 2"));
  CHECK_THROWS_AS((Shape{std::int64_t{1} << 40, std::int64_t{1} << 40}), Error);
}

TEST_CASE("shapes broadcast as NumPy's do") {
  CHECK(broadcast({3, 1}, {4}) == Shape{3, 4});
  CHECK(broadcast({}, {2, 2}) == Shape{2, 2});
  CHECK(broadcast({2, 1, 5}, {7, 1}) == Shape{2, 7, 5});
  CHECK(broadcast({0}, {1}) == Shape{0});
  CHECK_THROWS_WITH(broadcast({3}, {4}), Contains("[3]") && Contains("[4]"));
}

TEST_CASE("devices are named and parsed") {
  CHECK(Device::parse("cpu") == Device::cpu());
  CHECK(Device::parse("auto") == Device::best());
  CHECK(Device::cuda(2).name() == "cuda:2");
  CHECK_THROWS_WITH(Device::parse("gpu"), Contains("\"gpu\"") && Contains("auto, cpu, cuda"));
  CHECK_THROWS_AS(Device::parse("cuda:x"), Error);
  if constexpr (!built_with_cuda) {
    try {
      Device::parse("cuda");
      FAIL("cuda was accepted by a build without it");
    } catch (const Error& error) {
      CHECK(error.kind() == ErrorKind::device);
    }
    CHECK_THROWS_AS(Tensor::zeros({1}, DType::float32, Device::cuda()), Error);
  }
}

TEST_CASE("the undefined tensor throws and says so") {
  const Tensor x;
  CHECK_FALSE(x.defined());
  CHECK_THROWS_WITH(x.shape(), Contains("undefined tensor"));
  CHECK_THROWS_WITH(add(x, x), Contains("add") && Contains("undefined"));
  CHECK(x.str() == "undefined");
}

TEST_CASE("copies of a tensor share their elements, clones do not") {
  const Tensor x = counting({4});
  const Tensor shared = x, cloned = x.clone();
  x.data<double>()[2] = 50;
  CHECK(shared.values<double>()[2] == 50);
  CHECK(cloned.values<double>()[2] == 2);
}

TEST_CASE("data<T> refuses another element type") {
  CHECK_THROWS_WITH(counting({2}).data<float>(), Contains("float32") && Contains("float64"));
}

TEST_CASE("from checks the number of values") {
  CHECK_THROWS_WITH(Tensor::from(std::vector<float>{1, 2}, {3}),
                    Contains("2 values") && Contains("[3]"));
}

TEST_CASE("item wants one element") {
  CHECK(Tensor::full({1, 1}, 3.5).item() == 3.5);
  CHECK_THROWS_WITH(counting({2}).item(), Contains("2 elements"));
}

TEST_CASE("every element type converts to every other") {
  const auto types = {DType::float32, DType::float64, DType::bfloat16,
                      DType::uint8,   DType::int32,   DType::int64};
  for (const DType from : types) {
    for (const DType to : types) {
      INFO(name_of(from) << " to " << name_of(to));
      const Tensor x = counting({3, 33}, from);  // 0 .. 98: exact in all types
      const Tensor y = x.to(to);
      CHECK(y.dtype() == to);
      CHECK(y.values<double>() == counting({3, 33}).values<double>());
    }
  }
}

TEST_CASE("floating to integer conversion truncates toward zero") {
  const Tensor x = Tensor::from(std::vector<double>{1.9, -1.9, 0.5}, {3});
  CHECK(x.to(DType::int32).values<std::int32_t>() == std::vector<std::int32_t>{1, -1, 0});
}

TEST_CASE("fill takes what the element type can hold, and refuses the rest") {
  CHECK(Tensor::full({1}, -0.9, DType::uint8).values<int>() == std::vector<int>{0});
  CHECK(Tensor::full({1}, 255.9, DType::uint8).values<int>() == std::vector<int>{255});
  CHECK(Tensor::full({1}, -0x1p63, DType::int64).values<std::int64_t>()[0] ==
        std::numeric_limits<std::int64_t>::min());
  CHECK_THROWS_WITH(Tensor::full({1}, -1, DType::uint8), Contains("fill: -1 is no uint8"));
  CHECK_THROWS_AS(Tensor::full({1}, 256, DType::uint8), Error);
  CHECK_THROWS_AS(Tensor::full({1}, 0x1p31, DType::int32), Error);
  CHECK_THROWS_AS(Tensor::full({1}, 0x1p63, DType::int64), Error);
  CHECK_THROWS_AS(Tensor::full({1}, std::nan(""), DType::int32), Error);
  CHECK(std::isnan(Tensor::full({1}, std::nan("")).item()));
}

TEST_CASE("a channel slice shares memory and keeps the pitch") {
  const Tensor x = counting({2, 3, 5});
  const Tensor slice = x.slice_channels(1, 2);
  CHECK(slice.shape() == Shape{2, 3, 2});
  CHECK(slice.pitch() == 5);
  CHECK_FALSE(slice.is_packed());
  CHECK(slice.shares_storage(x));
  CHECK(slice.values<double>() == std::vector<double>{1, 2, 6, 7, 11, 12, 16, 17, 21, 22, 26, 27});
  slice.fill(-1);
  CHECK(x.values<double>()[0] == 0);
  CHECK(x.values<double>()[1] == -1);
  CHECK(x.values<double>()[3] == 3);
  CHECK_THROWS_AS(x.slice_channels(4, 2), Error);
}

TEST_CASE("slices of items share memory, pitched or not") {
  const Tensor x = counting({4, 3});
  CHECK(x.slice_items(1, 2).values<double>() == std::vector<double>{3, 4, 5, 6, 7, 8});
  const Tensor pitched = counting({4, 2, 5}).slice_channels(3, 1);
  CHECK(pitched.slice_items(2, 1).values<double>() == std::vector<double>{23, 28});
  CHECK(counting({6}).slice_items(4, 2).values<double>() == std::vector<double>{4, 5});
  CHECK_THROWS_AS(x.slice_items(3, 2), Error);
}

TEST_CASE("reshape keeps elements, infers a dimension and packs") {
  const Tensor x = counting({2, 6});
  CHECK(x.reshape({3, -1}).shape() == Shape{3, 4});
  CHECK(x.reshape({3, 4}).shares_storage(x));
  const Tensor slice = counting({2, 2, 3}).slice_channels(0, 2);
  CHECK(slice.reshape({8}).values<double>() == std::vector<double>{0, 1, 3, 4, 6, 7, 9, 10});
  CHECK_THROWS_WITH(x.reshape({5, -1}), Contains("[2, 6]"));
  CHECK_THROWS_WITH(x.reshape({5}), Contains("12 elements"));
}

TEST_CASE("copy_from converts, crosses pitches and checks the shape") {
  const Tensor target = Tensor::zeros({2, 4}, DType::float32).slice_channels(1, 2);
  target.copy_from(counting({2, 2}));
  CHECK(target.values<float>() == std::vector<float>{0, 1, 2, 3});
  CHECK_THROWS_WITH(target.copy_from(counting({4})), Contains("[4]") && Contains("[2, 2]"));
}

TEST_CASE("rebind changes what every handle sees") {
  const Tensor x = counting({2}), other = x;
  x.rebind(counting({3, 3}, DType::float32));
  CHECK(other.shape() == Shape{3, 3});
  CHECK(other.dtype() == DType::float32);
}

TEST_CASE("empty tensors pass through everything") {
  const Tensor x = Tensor::zeros({0, 3}, DType::float64);
  CHECK(x.numel() == 0);
  CHECK(add(x, x).shape() == Shape{0, 3});
  CHECK(sum(x).item() == 0);
  CHECK(sum(x, 0).values<double>() == std::vector<double>{0, 0, 0});
  CHECK(x.to(DType::float32).values<float>().empty());
  CHECK(relu(x).clone().packed().reshape({3, 0}).shape() == Shape{3, 0});
}

#if !defined(__SANITIZE_ADDRESS__)  // there the allocator keeps nothing, so that misuse shows
TEST_CASE("freed tensors are reused: no system allocation in a steady state") {
  for (int i = 0; i < 3; ++i) Tensor::empty({1000, 100});
  const auto before = cpu_allocator_statistics().system_allocations;
  for (int i = 0; i < 100; ++i) Tensor::empty({1000, 100});
  CHECK(cpu_allocator_statistics().system_allocations == before);
}
#endif

TEST_CASE("The bytes of a tensor as another type") {
  const Tensor words = Tensor::from(std::vector<std::int64_t>{1, 0x3ff0000000000000, 7}, {3});
  const Tensor numbers = words.slice_items(1, 2).reinterpret(DType::float64);
  CHECK(numbers.shape() == Shape{2});
  CHECK(numbers.values<double>()[0] == 1.0);
  CHECK(numbers.shares_storage(words));
  const Tensor halves = words.slice_items(2, 1).reinterpret(DType::int32);
  CHECK(halves.values<std::int32_t>() == std::vector<std::int32_t>{7, 0});
  halves.slice_items(1, 1).fill(1);
  CHECK(words.values<std::int64_t>()[2] == (std::int64_t{1} << 32) + 7);
  CHECK(halves.reinterpret(DType::int64).values<std::int64_t>()[0] == (std::int64_t{1} << 32) + 7);
  CHECK_THROWS_AS(halves.slice_items(1, 1).reinterpret(DType::int64), Error);
  CHECK_THROWS_AS(words.reshape({3, 1}).reinterpret(DType::int32), Error);
}

TEST_CASE("tensors are printed as NumPy prints arrays") {
  const auto printed = [](const Tensor& x) {
    std::ostringstream out;
    out << x;
    return out.str();
  };
  CHECK(printed(Tensor::from({1.f, 2.5f, -3.f}, {3})) == "[ 1.   2.5 -3. ]");
  CHECK(printed(Tensor::from({1.f, 2.f, 3.f, 4.f}, {2, 2})) == "[[1. 2.]\n [3. 4.]]");
  CHECK(printed(Tensor::zeros({2, 1, 2})) == "[[[0. 0.]]\n\n [[0. 0.]]]");
  CHECK(printed(Tensor::full({}, 0.1)) == "0.1");
  CHECK(printed(Tensor::from({0.1, 1.0 / 3}, {2})) == "[0.1        0.33333333] (float64 [2])");
  CHECK(printed(Tensor::from({1.f, 1e10f}, {2})) == "[1.e+00 1.e+10]");
  CHECK(printed(Tensor::from({1.5f, 1e-5f}, {2})) == "[1.5e+00 1.0e-05]");
  CHECK(printed(Tensor::from({1.f, NAN, -INFINITY}, {3})) == "[  1.  nan -inf]");
  CHECK(printed(Tensor::from({1, -20}, {2})) == "[  1 -20] (int32 [2])");
  CHECK(printed(Tensor::zeros({2, 0})) == "[] (float32 [2, 0])");
  CHECK(printed(Tensor()) == "undefined");
  CHECK(printed(Tensor::arange(2000)) ==
        "[0.000e+00 1.000e+00 2.000e+00 ... 1.997e+03 1.998e+03 1.999e+03] (float32 [2000])");
  const std::string lines = printed(Tensor::arange(0, 50, 1, DType::int64));
  CHECK(lines.starts_with("[ 0  1  2"));
  CHECK(lines.find("\n 2") == std::string("[").size() + 24 * 3 - 1);
}

TEST_CASE("tensors are made from lists and ranges") {
  CHECK(Tensor::from({1.f, 2.f}, {2}).dtype() == DType::float32);
  CHECK(Tensor::from({1.0, 2.0}, {2}).dtype() == DType::float64);
  CHECK(Tensor::ones({2}).values<float>() == std::vector<float>{1, 1});
  CHECK(Tensor::arange(3).values<float>() == std::vector<float>{0, 1, 2});
  CHECK(Tensor::arange(1, 0, -0.5).values<float>() == std::vector<float>{1, 0.5});
  CHECK(Tensor::arange(0, 3, 1, DType::int64).values<std::int64_t>() ==
        std::vector<std::int64_t>{0, 1, 2});
  CHECK_THROWS_WITH(Tensor::arange(0, 1, 0), Contains("arange: from 0 to 1 by 0"));
  CHECK(Tensor::linspace(0, 1, 5).values<float>() == std::vector<float>{0, 0.25, 0.5, 0.75, 1});
  CHECK(Tensor::linspace(2, 3, 1).item() == 2);
  CHECK(Tensor::eye(2).values<float>() == std::vector<float>{1, 0, 0, 1});
  const Tensor x = Tensor::zeros({2, 3}, DType::float64);
  for (const Tensor& y : {empty_like(x), zeros_like(x), ones_like(x), full_like(x, 3)})
    CHECK(y.str() == x.str());
  CHECK(full_like(x, 3).values<double>()[5] == 3);
}

TEST_CASE("an item of the first dimension is a view") {
  const Tensor x = Tensor::arange(0, 12, 1).reshape({2, 2, 3});
  CHECK(x[1].shape() == Shape{2, 3});
  CHECK(x[1][0].values<float>() == std::vector<float>{6, 7, 8});
  CHECK(x[-1][1][2].item() == 11);
  x[0][1].fill(5);
  CHECK(x.values<float>()[4] == 5);
  const Tensor slice = x.slice_channels(1, 2);
  CHECK(slice[1].shares_storage(x));
  CHECK(slice[1].values<float>() == std::vector<float>{7, 8, 10, 11});
  CHECK(slice[1][1].values<float>() == std::vector<float>{10, 11});
  CHECK_THROWS_WITH(x[2], Contains("item 2 of [2, 2, 3]"));
  CHECK_THROWS_WITH(Tensor::zeros({})[0], Contains("has no items"));
  CHECK_THROWS_WITH(x.reshape({-1, -1}), Contains("more than one dimension is -1"));
}
