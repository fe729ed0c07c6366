// Indexing and reordering against what Python's slices and NumPy's functions give.
#include <shatter/core/indexing.h>

#include <cmath>
#include <limits>
#include <numeric>

#include <shatter/core/ops.h>
#include <shatter/core/random.h>

#include "tests/support/catch.h"

using namespace shatter;

namespace {

Tensor counting(const Shape& shape, DType dtype = DType::float64) {
  std::vector<double> values(std::size_t(shape.numel()));
  std::iota(values.begin(), values.end(), 0.0);
  return Tensor::from(values, shape).to(dtype);
}
Tensor whole(std::vector<std::int64_t> values, const Shape& shape) {
  return Tensor::from(values, shape);
}
using Values = std::vector<double>;

}  // namespace

TEST_CASE("slice follows Python's rules on every axis") {
  const Tensor x = counting({3, 4});
  CHECK(slice(x, 0, 1).values<double>() == Values{4, 5, 6, 7, 8, 9, 10, 11});
  CHECK(slice(x, 1, 0, to_the_end, 2).values<double>() == Values{0, 2, 4, 6, 8, 10});
  CHECK(slice(x, -1, -2).values<double>() == Values{2, 3, 6, 7, 10, 11});
  CHECK(slice(x, 0, 0, -1).shape() == Shape{2, 4});
  CHECK(slice(x, 0, -100, 100).values<double>() == x.values<double>());
  CHECK(slice(x, 1, 3, 1).shape() == Shape{3, 0});
  CHECK(slice(x, 1, 1, 4, 2).values<double>() == Values{1, 3, 5, 7, 9, 11});
  CHECK(slice(counting({2, 3, 2}), 1, 1, 2).values<double>() == Values{2, 3, 8, 9});
  CHECK_THROWS_WITH(slice(x, 0, 0, 2, 0), Contains("step 0"));
  CHECK_THROWS_AS(slice(x, 2, 0), Error);
}

TEST_CASE("slice, flip, transpose and stack take every element type and pitched operands") {
  for (const DType dtype : {DType::float32, DType::float64, DType::bfloat16, DType::uint8,
                            DType::int32, DType::int64}) {
    const Tensor x = counting({2, 3}, dtype);
    CHECK(slice(x, 1, 1).values<double>() == Values{1, 2, 4, 5});
    CHECK(flip(x, 1).values<double>() == Values{2, 1, 0, 5, 4, 3});
    CHECK(transpose(x, 0, 1).values<double>() == Values{0, 3, 1, 4, 2, 5});
    CHECK(stack({x, x}, 1).shape() == Shape{2, 2, 3});
    CHECK(concat({x, slice(x, 0, 1)}, 0).values<double>() == Values{0, 1, 2, 3, 4, 5, 3, 4, 5});
    CHECK(concat({x, x}, -1).shape() == Shape{2, 6});
    CHECK(broadcast_to(slice(x, 0, 0, 1), {2, 3}).values<double>() == Values{0, 1, 2, 0, 1, 2});
    CHECK(index_select(x, 1, whole({2, 0}, {2})).values<double>() == Values{2, 0, 5, 3});
    CHECK(slice(x.slice_channels(1, 2), 0, 1).values<double>() == Values{4, 5});
  }
}

TEST_CASE("gather, index_select and scatter_add pick and place along an axis") {
  const Tensor x = counting({2, 3});
  CHECK(index_select(x, 0, whole({1, 1, 0}, {3})).values<double>() ==
        Values{3, 4, 5, 3, 4, 5, 0, 1, 2});
  CHECK(gather(x, 1, whole({2, 0}, {2, 1})).values<double>() == Values{2, 3});
  CHECK(gather(x, 0, whole({1, 0, 1}, {1, 3})).values<double>() == Values{3, 1, 5});
  const Tensor added = scatter_add(Tensor::zeros({2, 3}, DType::float64), 1,
                                   whole({0, 0, 2, 1}, {2, 2}), counting({2, 2}) + 1.0);
  CHECK(added.values<double>() == Values{3, 0, 0, 0, 4, 3});
  CHECK_THROWS_WITH(index_select(x, 1, whole({3}, {1})), Contains("index 3") && Contains("[0, 3)"));
  CHECK_THROWS_WITH(gather(x, 1, whole({0}, {1, 1})), Contains("expected the shape"));
  CHECK_THROWS_WITH(index_select(x, 1, counting({2})), Contains("expected int32 or int64"));
}

TEST_CASE("shapes gain and lose dimensions of size 1, and are split") {
  const Tensor x = counting({2, 3});
  CHECK(unsqueeze(x, 0).shape() == Shape{1, 2, 3});
  CHECK(unsqueeze(x, -1).shape() == Shape{2, 3, 1});
  CHECK(squeeze(unsqueeze(x, 1), 1).shape() == x.shape());
  CHECK_THROWS_WITH(squeeze(x, 0), Contains("is not 1"));
  CHECK_THROWS_WITH(broadcast_to(x, {2, 4}), Contains("[2, 3]"));
  const std::vector<Tensor> pieces = split(x, 2, 1);
  REQUIRE(pieces.size() == 2);
  CHECK(pieces[1].values<double>() == Values{2, 5});
}

TEST_CASE("sorting is stable, puts NaN last and says where things were") {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const Tensor x = Tensor::from(Values{2, nan, 1, 2, -1}, {5});
  CHECK(argsort(x).values<std::int64_t>() == std::vector<std::int64_t>{4, 2, 0, 3, 1});
  CHECK(argsort(x, 0, true).values<std::int64_t>() == std::vector<std::int64_t>{0, 3, 2, 4, 1});
  const Tensor rows = Tensor::from(Values{3, 1, 2, 0, 5, 4}, {2, 3});
  CHECK(sort(rows).values.values<double>() == Values{1, 2, 3, 0, 4, 5});
  CHECK(sort(rows, 0).values.values<double>() == Values{0, 1, 2, 3, 5, 4});
  const Sorted top = topk(rows, 2);
  CHECK(top.values.values<double>() == Values{3, 2, 5, 4});
  CHECK(top.indices.values<std::int64_t>() == std::vector<std::int64_t>{0, 2, 1, 2});
  CHECK(topk(rows, 1, 1, false).values.values<double>() == Values{1, 0});
  CHECK_THROWS_WITH(topk(rows, 4), Contains("4 of 3"));
}

TEST_CASE("one_hot puts a 1 at each label") {
  const Tensor y = one_hot(whole({2, 0}, {2}), 3);
  CHECK(y.str() == "float32 [2, 3]");
  CHECK(y.values<double>() == Values{0, 0, 1, 1, 0, 0});
  CHECK_THROWS_WITH(one_hot(whole({3}, {1}), 3), Contains("label 3"));
}

TEST_CASE("batched products are the products of their matrices") {
  const Tensor a = random_normal({.seed = 1}, {2, 1, 3, 4}, 0, 1, DType::float64);
  const Tensor b = random_normal({.seed = 2}, {5, 4, 2}, 0, 1, DType::float64);
  const Tensor c = matmul(a, b);
  REQUIRE(c.shape() == Shape{2, 5, 3, 2});
  for (std::int64_t i = 0; i < 2; ++i)
    for (std::int64_t j = 0; j < 5; ++j) {
      const Tensor one =
          matmul(a.slice_items(i, 1).reshape({3, 4}), b.slice_items(j, 1).reshape({4, 2}));
      CHECK(c.slice_items(i, 1).reshape({5, 3, 2}).slice_items(j, 1).values<double>() ==
            one.values<double>());
    }
  CHECK(matmul(counting({3}), counting({3})).values<double>() == Values{5});
  CHECK(matmul(counting({3}), counting({3})).rank() == 0);
  CHECK(matmul(counting({2, 3}), counting({3})).values<double>() == Values{5, 14});
  CHECK(matmul(counting({2}), counting({2, 3})).values<double>() == Values{3, 4, 5});
  CHECK_THROWS_WITH(matmul(a, a), Contains("inner dimensions differ"));
  CHECK_THROWS_AS(matmul(random_normal({.seed = 1}, {2, 3, 4}, 0, 1, DType::float64),
                         random_normal({.seed = 1}, {3, 4, 2}, 0, 1, DType::float64)),
                  Error);
}
