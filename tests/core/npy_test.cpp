// npy files against the literal bytes NumPy 1.24 writes.
#include <shatter/core/npy.h>

#include <cstring>
#include <vector>

#include "tests/support/files.h"

using namespace shatter;
using namespace std::string_literals;

namespace {

/// A version 1.0 file with that header text, padded as NumPy does, and those elements.
std::string npy(std::string dict, std::string_view elements) {
  dict.resize((10 + dict.size() + 1 + 63) / 64 * 64 - 11, ' ');
  dict += '\n';
  std::string bytes = "\x93NUMPY\x01\x00"s;
  bytes += char(dict.size() & 0xff);
  bytes += char(dict.size() >> 8);
  return bytes + dict + std::string(elements);
}

template <class T>
std::string bytes_of(const std::vector<T>& values) {
  std::string bytes(values.size() * sizeof(T), '\0');
  if (!values.empty()) std::memcpy(bytes.data(), values.data(), bytes.size());
  return bytes;
}

template <class T>
void check_round_trip(const std::vector<T>& values, const Shape& shape) {
  const TemporaryFolder folder;
  const auto path = folder / "x.npy";
  save_npy(path, Tensor::from(values, shape));
  const Tensor x = load_npy(path);
  CHECK(x.dtype() == dtype_of<T>);
  CHECK(x.shape() == shape);
  CHECK(x.values<T>() == values);
}

}  // namespace

TEST_CASE("npy: a file written by NumPy is read") {
  // numpy.save(path, numpy.array([[1, -2.5, 3], [4, 5, 6]], "<f4")), byte for byte.
  const std::string bytes =
      "\x93NUMPY\x01\x00\x76\x00"s
      "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }" +
      std::string(58, ' ') +
      "\n"s
      "\x00\x00\x80\x3f\x00\x00\x20\xc0\x00\x00\x40\x40"s
      "\x00\x00\x80\x40\x00\x00\xa0\x40\x00\x00\xc0\x40"s;
  REQUIRE(bytes.size() == 128 + 24);
  const TemporaryFolder folder;
  put(folder / "x.npy", bytes);
  const Tensor x = load_npy(folder / "x.npy");
  CHECK(x.shape() == Shape{2, 3});
  CHECK(x.values<float>() == std::vector<float>{1, -2.5f, 3, 4, 5, 6});
  // What we write differs from NumPy in nothing.
  save_npy(folder / "y.npy", x);
  CHECK(get(folder / "y.npy") == bytes);
}

TEST_CASE("npy: every type and rank survives") {
  check_round_trip<float>({1.5f, -0.0f, 3e38f, 1e-45f}, {4});
  check_round_trip<double>({1e300, 2, 3, 4, 5, 6}, {1, 2, 3});
  check_round_trip<std::uint8_t>({0, 127, 255}, {3, 1});
  check_round_trip<std::int32_t>({-2147483647 - 1, 7}, {2});
  check_round_trip<std::int64_t>({std::int64_t{1} << 62}, {});
  check_round_trip<float>({}, {0, 3});
  check_round_trip<float>({9}, {1, 1, 1, 1, 1, 1});
}

TEST_CASE("npy: bfloat16 becomes float32, slices are packed") {
  const TemporaryFolder folder;
  const Tensor x = Tensor::from<float>({0, 1, 2, 3, 4, 5, 6, 7}, {2, 4});
  save_npy(folder / "slice.npy", x.slice_channels(1, 2));
  CHECK(load_npy(folder / "slice.npy").values<float>() == std::vector<float>{1, 2, 5, 6});
  save_npy(folder / "b.npy", x.to(DType::bfloat16));
  CHECK(load_npy(folder / "b.npy").dtype() == DType::float32);
  CHECK(load_npy(folder / "b.npy").values<float>() == x.values<float>());
}

TEST_CASE("npy: other spellings NumPy accepts are read") {
  const TemporaryFolder folder;
  const std::string two = bytes_of<std::int32_t>({5, 6});
  for (const char* dict : {"{'descr': '<i4', 'fortran_order': False, 'shape': (2,), }",
                           "{\"shape\":(2,),\"fortran_order\":False,\"descr\":\"<i4\"}",
                           "{'descr': '<i4', 'fortran_order': True, 'shape': (2,)}"}) {
    put(folder / "x.npy", npy(dict, two));
    CHECK(load_npy(folder / "x.npy").values<std::int32_t>() == std::vector<std::int32_t>{5, 6});
  }
  std::string second = npy("{'descr': '<i4', 'fortran_order': False, 'shape': (2,), }", two);
  second[6] = 2;  // version 2.0 has four bytes of length
  second.insert(10, 2, '\0');
  put(folder / "x.npy", second);
  CHECK(load_npy(folder / "x.npy").values<std::int32_t>() == std::vector<std::int32_t>{5, 6});
}

TEST_CASE("npy: what cannot be read is said") {
  const TemporaryFolder folder;
  const auto path = folder / "x.npy";
  const auto fault = [&](const std::string& bytes) {
    put(path, bytes);
    const std::string message = message_of([&] { load_npy(path); });
    CHECK_THAT(message, Contains(path.string()));
    return message;
  };
  const auto dict = [&](const std::string& text_, std::size_t size = 8) {
    return fault(npy(text_, std::string(size, '\0')));
  };
  CHECK_THAT(fault(""), Contains("not an npy file"));
  CHECK_THAT(fault("\x93NUMPX\x01\x00\x02\x00{}"s), Contains("not an npy file"));
  CHECK_THAT(fault("\x93NUMPY\x07\x00\x02\x00{}"s), Contains("format 7"));
  CHECK_THAT(fault("\x93NUMPY\x01\x00\xff\xff{}"s), Contains("truncated"));
  CHECK_THAT(fault("\x93NUMPY\x02\x00\xff\xff\xff\xff{}"s), Contains("truncated"));
  CHECK_THAT(dict("{'descr': '>f4', 'fortran_order': False, 'shape': (2,), }"), Contains(">f4"));
  CHECK_THAT(dict("{'descr': '|O', 'fortran_order': False, 'shape': (1,), }"), Contains("|O"));
  CHECK_THAT(dict("{'descr': '<f4', 'fortran_order': True, 'shape': (2, 1), }"),
             Contains("Fortran"));
  CHECK_THAT(dict("{'descr': '<f4', 'fortran_order': False, 'shape': (3,), }"),
             Contains("8 bytes") && Contains("needs 12"));
  CHECK_THAT(dict("{'descr': '<f4', 'fortran_order': False, 'shape': (1,), }"),
             Contains("needs 4"));
  CHECK_THAT(dict("{'descr': '<f4', 'fortran_order': False, 'shape': (-2,), }"), Contains("shape"));
  CHECK_THAT(dict("{'descr': '<f4', 'fortran_order': False, "
                  "'shape': (4611686018427387904, 4, 0), }",
                  0),
             Contains("overflow"));
  CHECK_THAT(dict("{'descr': '<f4', 'fortran_order': False, "
                  "'shape': (99999999999999999999,), }"),
             Contains("shape"));
  CHECK_THAT(dict("{'descr': '<f4', 'fortran_order': False, 'shape': (1,1,1,1,1,1,2), }"),
             Contains("6 dimensions"));
  CHECK_THAT(dict("{'descr': '<f4', 'fortran_order': False}"), Contains("missing"));
  CHECK_THAT(dict("{'descr': '<f4', 'descr': '<f4', 'fortran_order': False, 'shape': (2,)}"),
             Contains("repeated"));
  CHECK_THAT(dict("{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (2,)}"),
             Contains("header"));
  CHECK_THAT(dict("{'descr': '<f4', 'fortran_order': False, 'shape': (2,)} x"),
             Contains("follows"));
  CHECK_THAT(message_of([&] { load_npy(folder / "none.npy"); }), Contains("none.npy"));
}

TEST_CASE("npy: no damaged file reads beyond its end") {
  const TemporaryFolder folder;
  const auto path = folder / "x.npy";
  const std::string good = npy("{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }",
                               bytes_of<float>({1, 2, 3, 4, 5, 6}));
  for (std::size_t size = 0; size < good.size(); ++size) {
    put(path, good.substr(0, size));
    CHECK_THROWS_AS(load_npy(path), Error);
  }
  for (std::size_t place = 0; place < 80; ++place) {
    for (const int change : {1, 0x80, 0x0f}) {
      std::string bad = good;
      bad[place] = char(bad[place] ^ change);
      put(path, bad);
      try {
        const Tensor x = load_npy(path);
        CHECK(x.numel() * std::int64_t(size_of(x.dtype())) == 24);
      } catch (const Error& error) {
        CHECK(error.kind() == ErrorKind::data);
      }
    }
  }
}
