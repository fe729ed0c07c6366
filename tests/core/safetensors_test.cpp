// The safetensors format against hand-written files, hostile headers and thousands of damages.
#include <shatter/core/safetensors.h>

#include <cstring>
#include <limits>
#include <vector>

#include <shatter/kernels/philox.h>

#include "tests/support/files.h"

using namespace shatter;
using namespace std::string_literals;

namespace {

/// Header length, header, data: no padding, nothing checked.
std::string file(const std::string& header, std::string_view data = {}) {
  const std::uint64_t length = header.size();
  std::string bytes(8, '\0');
  std::memcpy(bytes.data(), &length, 8);
  return bytes + header + std::string(data);
}

template <class T>
void check_equal(const Tensor& x, const std::vector<T>& values, const Shape& shape) {
  CHECK(x.dtype() == dtype_of<T>);
  CHECK(x.shape() == shape);
  const std::vector<T> found = x.values<T>();
  REQUIRE(found.size() == values.size());
  // Bits, so that NaN and -0 count too.
  CHECK(
      (values.empty() || std::memcmp(found.data(), values.data(), values.size() * sizeof(T)) == 0));
}

std::string fault(const std::string& bytes) {
  const std::string message = message_of([&] { parse_safetensors(bytes, "some.safetensors"); });
  CHECK_THAT(message, Contains("some.safetensors"));
  return message;
}

/// A small file with everything in it.
std::string sample() {
  return file(
      R"({"__metadata__":{"step":"12"},"a":{"dtype":"F32","shape":[2,1],"data_offsets":[0,8]},)"
      R"("b":{"dtype":"U8","shape":[3],"data_offsets":[8,11]}} )",
      "\0\0\x80\x3f\0\0\0\x40\x01\x02\x03"s);
}

/// Parses bytes: either an Error of kind data, or a result that accounts for every byte of data.
void parse_anything(const std::string& bytes) {
  // A copy of the exact size on the heap: the sanitizer sees one byte too far.
  const std::vector<char> exact(bytes.begin(), bytes.end());
  try {
    const NamedTensors parsed = parse_safetensors({exact.data(), exact.size()}, "x");
    std::uint64_t length;
    std::memcpy(&length, exact.data(), 8);
    std::uint64_t total = 0;
    for (const auto& [name, tensor] : parsed.tensors) total += tensor.bytes();
    CHECK(8 + length + total == exact.size());
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::data) FAIL("kind of: " << error.what());
  }
}

}  // namespace

TEST_CASE("safetensors: a hand-written file is read") {
  const NamedTensors parsed = parse_safetensors(sample(), "sample");
  CHECK(parsed.tensors.size() == 2);
  check_equal<float>(parsed.tensors.at("a"), {1, 2}, {2, 1});
  check_equal<std::uint8_t>(parsed.tensors.at("b"), {1, 2, 3}, {3});
  CHECK(parsed.metadata == std::map<std::string, std::string>{{"step", "12"}});
}

TEST_CASE("safetensors: the written bytes are those of a hand-written file") {
  const TemporaryFolder folder;
  const auto path = folder / "x.safetensors";
  save_safetensors(path, {{{"b", Tensor::from<std::uint8_t>({1, 2, 3}, {3})},
                           {"w", Tensor::from<float>({1, 2}, {2, 1})},
                           {"d", Tensor::from<double>({-1}, {})}},
                          {{"k\"", "v\n"}}});
  // Larger elements first, names within a size sorted; the header padded to a multiple of 8.
  const std::string header =
      R"({"__metadata__":{"k\"":"v\n"},"d":{"dtype":"F64","shape":[],"data_offsets":[0,8]},)"
      R"("w":{"dtype":"F32","shape":[2,1],"data_offsets":[8,16]},)"
      R"("b":{"dtype":"U8","shape":[3],"data_offsets":[16,19]}})";
  const std::string padded = header + std::string((8 - header.size() % 8) % 8, ' ');
  CHECK(get(path) == file(padded, "\0\0\0\0\0\0\xf0\xbf\0\0\x80\x3f\0\0\0\x40\x01\x02\x03"s));
  CHECK(padded.size() % 8 == 0);

  save_safetensors(path, {});
  CHECK(get(path) == file("{}      "));
}

TEST_CASE("safetensors: every type, shape and name survives") {
  const TemporaryFolder folder;
  const auto path = folder / "x.safetensors";
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const std::vector<float> f32{-0.0f, nan, 1e-45f, 3.4e38f, 5, 6};
  const std::vector<double> f64{1e-320, -std::numeric_limits<double>::infinity()};
  const std::vector<bfloat16> bf16{bfloat16(1.5f), bfloat16(-2), bfloat16(nan)};
  const std::vector<std::uint8_t> u8{0, 255, 7};
  const std::vector<std::int32_t> i32{-2147483647 - 1, 2147483647};
  const std::vector<std::int64_t> i64{std::numeric_limits<std::int64_t>::min(), 1};
  NamedTensors content;
  content.tensors = {{"layers.0.weight", Tensor::from(f32, {1, 2, 3})},
                     {"f64", Tensor::from(f64, {2})},
                     {"bf16", Tensor::from(bf16, {3, 1})},
                     {"u8", Tensor::from(u8, {1, 1, 1, 1, 1, 3})},
                     {"i32", Tensor::from(i32, {2, 1})},
                     {"i64", Tensor::from(i64, {2})},
                     {"scalar", Tensor::from<float>({7}, {})},
                     {"empty", Tensor::empty({3, 0, 2})},
                     {"", Tensor::from<float>({8}, {1})},
                     {"Größe \"/\\\n\x01", Tensor::from<float>({9}, {1})}};
  content.metadata = {{"", "empty key"}, {"two", "lines\nand \u00fcml\u00e4ute"}};
  save_safetensors(path, content);
  const NamedTensors loaded = load_safetensors(path);
  CHECK(loaded.metadata == content.metadata);
  REQUIRE(loaded.tensors.size() == content.tensors.size());
  check_equal(loaded.tensors.at("layers.0.weight"), f32, {1, 2, 3});
  check_equal(loaded.tensors.at("f64"), f64, {2});
  check_equal(loaded.tensors.at("u8"), u8, {1, 1, 1, 1, 1, 3});
  check_equal(loaded.tensors.at("i32"), i32, {2, 1});
  check_equal(loaded.tensors.at("i64"), i64, {2});
  check_equal<float>(loaded.tensors.at("scalar"), {7}, {});
  check_equal<float>(loaded.tensors.at("empty"), {}, {3, 0, 2});
  check_equal<float>(loaded.tensors.at(""), {8}, {1});
  check_equal<float>(loaded.tensors.at("Größe \"/\\\n\x01"), {9}, {1});
  const std::vector<bfloat16> halves = loaded.tensors.at("bf16").values<bfloat16>();
  for (std::size_t i = 0; i < 3; ++i) CHECK(halves.at(i).bits == bf16[i].bits);
}

TEST_CASE("safetensors: slices of wider tensors are packed") {
  const TemporaryFolder folder;
  std::vector<float> values(24);
  for (std::size_t i = 0; i < 24; ++i) values[i] = float(i);
  const Tensor wide = Tensor::from(values, {2, 3, 4});
  const Tensor slice = wide.slice_channels(1, 2);
  REQUIRE(!slice.is_packed());
  save_safetensors(folder / "x", {{{"slice", slice}, {"items", wide.slice_items(1, 1)}}, {}});
  const NamedTensors loaded = load_safetensors(folder / "x");
  check_equal<float>(loaded.tensors.at("slice"), {1, 2, 5, 6, 9, 10, 13, 14, 17, 18, 21, 22},
                     {2, 3, 2});
  check_equal<float>(loaded.tensors.at("items"), {12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23},
                     {1, 3, 4});
}

TEST_CASE("safetensors: tensors with gradients are saved") {
  const TemporaryFolder folder;
  const Tensor w = Tensor::from<float>({1, 2}, {2});
  w.set_requires_grad();
  save_safetensors(folder / "x", {{{"w", w}}, {}});
  const Tensor loaded = load_safetensors(folder / "x").tensors.at("w");
  CHECK(!loaded.requires_grad());
  check_equal<float>(loaded, {1, 2}, {2});
}

TEST_CASE("safetensors: what cannot be written is refused, the old file kept") {
  const TemporaryFolder folder;
  const auto path = folder / "x";
  const Tensor x = Tensor::from<float>({1}, {1});
  save_safetensors(path, {{{"x", x}}, {}});
  const std::string before = get(path);
  const auto usage = ErrorKind::usage;
  CHECK_THAT(message_of(
                 [&] {
                   save_safetensors(path, {{{"y", Tensor()}}, {}});
                 },
                 usage),
             Contains("\"y\"") && Contains("undefined"));
  CHECK_THAT(message_of(
                 [&] {
                   save_safetensors(path, {{{"__metadata__", x}}, {}});
                 },
                 usage),
             Contains("__metadata__"));
  CHECK_THAT(message_of(
                 [&] {
                   save_safetensors(path, {{{"bad \xff", x}}, {}});
                 },
                 usage),
             Contains("UTF-8"));
  CHECK(get(path) == before);
  const auto nowhere = folder / "none" / "x";
  CHECK_THAT(message_of([&] {
               save_safetensors(nowhere, {{{"x", x}}, {}});
             }),
             Contains(nowhere.string()));
  CHECK_THAT(message_of([&] { load_safetensors(nowhere); }), Contains(nowhere.string()));
}

TEST_CASE("safetensors: broken frames are told apart") {
  CHECK_THAT(fault(""), Contains("0 bytes"));
  CHECK_THAT(fault("1234567"), Contains("7 bytes"));
  CHECK_THAT(fault("\xff\xff\xff\xff\xff\xff\xff\xff{}"s), Contains("exceeds"));
  CHECK_THAT(fault("\x01\0\0\0\x01\0\0\0{}"s), Contains("exceeds"));
  CHECK_THAT(fault("\x03\0\0\0\0\0\0\0{}"s), Contains("truncated"));
  CHECK_THAT(fault(file("")), Contains("{"));
  CHECK_THAT(fault(file("[]")), Contains("{"));
  CHECK_THAT(fault(file(" {}")), Contains("{"));
  CHECK_THAT(fault(file("{")), Contains("JSON"));
  CHECK_THAT(fault(file("{}{}")), Contains("JSON"));
  CHECK_THAT(fault(file("{}\0"s)), Contains("JSON"));
  CHECK_THAT(fault(file("{\"\xff\":1}")), Contains("JSON"));
  CHECK_THAT(fault(file("{\"a\":" + std::string(100'000, '['))), Contains("nested"));
  CHECK_THAT(fault(file("{}", "x")), Contains("1 bytes behind"));
}

TEST_CASE("safetensors: hostile entries are told apart") {
  const auto entry = [](const std::string& value, const std::string& data = "") {
    return fault(file("{\"layer.weight\":" + value + "}", data));
  };
  const std::string four(4, 'x'), eight(8, 'x');
  const struct {
    const char* value;
    std::string data;
    const char* says;
  } cases[] = {
      {R"(1)", "", "not an object"},
      {R"({})", "", "no dtype"},
      {R"({"dtype":"F32","shape":[]})", "", "no data_offsets"},
      {R"({"dtype":"F32","data_offsets":[0,4]})", four, "no shape"},
      {R"({"dtype":"F32","shape":[],"data_offsets":[0,4],"more":1})", four, "besides"},
      {R"({"dtype":32,"shape":[],"data_offsets":[0,4]})", four, "not a string"},
      {R"({"dtype":"F8_E4M3","shape":[4],"data_offsets":[0,4]})", four, "\"F8_E4M3\""},
      {R"({"dtype":"F16","shape":[4],"data_offsets":[0,4]})", four, "of F16 needs 8"},
      {R"({"dtype":"f32","shape":[1],"data_offsets":[0,4]})", four, "\"f32\""},
      {R"({"dtype":"F32","shape":1,"data_offsets":[0,4]})", four, "not an array"},
      {R"({"dtype":"F32","shape":["1"],"data_offsets":[0,4]})", four, "shape entry"},
      {R"({"dtype":"F32","shape":[-1],"data_offsets":[0,4]})", four, "-1"},
      {R"({"dtype":"F32","shape":[1.0],"data_offsets":[0,4]})", four, "1.0"},
      {R"({"dtype":"F32","shape":[1e400],"data_offsets":[0,4]})", four, "JSON"},
      {R"({"dtype":"F32","shape":[18446744073709551616],"data_offsets":[0,4]})", four,
       "shape entry"},
      {R"({"dtype":"F32","shape":[9223372036854775808],"data_offsets":[0,4]})", four,
       "shape entry"},
      {R"({"dtype":"F32","shape":[4611686018427387905],"data_offsets":[0,4]})", four, "overflows"},
      {R"({"dtype":"F32","shape":[2147483648,2147483648,2],"data_offsets":[0,4]})", four,
       "overflows"},
      {R"({"dtype":"U8","shape":[0,4294967296,4294967296],"data_offsets":[0,0]})", "", "overflows"},
      {R"({"dtype":"U8","shape":[0,4611686018427387904],"data_offsets":[0,0]})", "", "overflows"},
      {R"({"dtype":"U8","shape":[1,1,1,1,1,1,4],"data_offsets":[0,4]})", four, "7 dimensions"},
      {R"({"dtype":"F32","shape":[1],"data_offsets":4})", four, "pair"},
      {R"({"dtype":"F32","shape":[1],"data_offsets":[0]})", four, "pair"},
      {R"({"dtype":"F32","shape":[1],"data_offsets":[0,4,4]})", four, "pair"},
      {R"({"dtype":"F32","shape":[1],"data_offsets":[-4,0]})", four, "pair"},
      {R"({"dtype":"F32","shape":[1],"data_offsets":[0.0,4]})", four, "pair"},
      {R"({"dtype":"F32","shape":[1],"data_offsets":[4,0]})", four, "before it begins"},
      {R"({"dtype":"F32","shape":[1],"data_offsets":[0,8]})", four, "only 4"},
      {R"({"dtype":"F32","shape":[1],"data_offsets":[18446744073709551612,0]})", four,
       "before it begins"},
      {R"({"dtype":"F32","shape":[1],"data_offsets":[0,18446744073709551615]})", four, "only 4"},
      {R"({"dtype":"F32","shape":[2],"data_offsets":[0,4]})", four, "needs 8"},
      {R"({"dtype":"F32","shape":[1],"data_offsets":[0,8]})", eight, "needs 4"},
      {R"({"dtype":"F32","shape":[0],"data_offsets":[0,4]})", four, "needs 0"},
      {R"({"dtype":"F32","dtype":"F64","shape":[1],"data_offsets":[0,8]})", eight, "twice"},
  };
  for (const auto& c : cases) {
    INFO(c.value);
    const std::string message = entry(c.value, c.data);
    CHECK_THAT(message, Contains(c.says));
    if (message.find("JSON") == std::string::npos && message.find("twice") == std::string::npos) {
      CHECK_THAT(message, Contains("\"layer.weight\""));
    }
  }
  CHECK_THAT(fault(file(R"({"__metadata__":1})")), Contains("not an object"));
  CHECK_THAT(fault(file(R"({"__metadata__":{"a":1}})")), Contains("\"a\" is not a string"));
  CHECK_THAT(fault(file(R"({"__metadata__":{"a":"","a":""}})")), Contains("\"a\" appears twice"));
}

TEST_CASE("safetensors: overlaps, holes and duplicates are told apart") {
  const auto pair = [](const std::string& first, const std::string& second,
                       const std::string& name = "b") {
    return file("{\"a\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":" + first + "},\"" + name +
                    "\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":" + second + "}}",
                "12345678");
  };
  CHECK_THAT(fault(pair("[0,4]", "[0,4]")), Contains("overlaps"));
  CHECK_THAT(fault(pair("[0,4]", "[3,7]")), Contains("\"b\" overlaps another at byte 3"));
  CHECK_THAT(fault(pair("[4,8]", "[3,7]")), Contains("bytes 0 to 3"));
  CHECK_THAT(fault(file(R"({"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},)"
                        R"("b":{"dtype":"U8","shape":[2],"data_offsets":[3,5]}})",
                        "12345")),
             Contains("bytes 2 to 3") && Contains("\"b\""));
  CHECK_THAT(fault(pair("[0,4]", "[4,8]", "a")), Contains("\"a\" appears twice"));
  CHECK_THAT(fault(pair("[0,4]", "[4,8]", "\\u0061")), Contains("\"a\" appears twice"));
  CHECK_NOTHROW(parse_safetensors(pair("[4,8]", "[0,4]"), "any order will do"));
}

TEST_CASE("safetensors: a hostile name cannot reach the terminal") {
  const std::string message = fault(file("{\"\\u001b[2J" + std::string(5000, 'x') + "\":1}"));
  CHECK(message.find('\x1b') == std::string::npos);
  CHECK(message.size() < 400);
}

TEST_CASE("safetensors: no damaged file is misread") {
  const std::string good = sample();
  for (std::size_t size = 0; size < good.size(); ++size) {
    INFO("cut to " << size);
    CHECK_THROWS_AS(parse_safetensors(std::string_view(good).substr(0, size), "x"), Error);
    parse_anything(good.substr(0, size));
  }
  for (std::uint32_t trial = 0; trial < 6000; ++trial) {
    std::string bad = good;
    const std::uint32_t damages = 1 + trial % 3;
    for (std::uint32_t i = 0; i < damages; ++i) {
      const Words4 words = random_words({2024, Stream::user, 0}, trial, i);
      const std::size_t place = words[0] % bad.size();
      // Half of the damage is done with characters that mean something to the format.
      const char letters[] = "0123456789{}[]\",:-.eE\\ \xff\x80";
      const char letter =
          words[1] & 1 ? letters[words[1] / 2 % (sizeof letters - 1)] : char(words[2]);
      switch (words[3] % 4) {
        case 0: bad[place] = char(bad[place] ^ (1 << words[2] % 8)); break;
        case 1: bad[place] = letter; break;
        case 2: bad.insert(place, 1, letter); break;
        default: bad.erase(place, 1 + words[2] % 4); break;
      }
      if (bad.empty()) break;
    }
    parse_anything(bad);
    // The same with the length mended, so that damage inside the header reaches the parser.
    if (bad.size() >= 19) {
      const std::uint64_t length = bad.size() - 8 - 11;
      std::memcpy(bad.data(), &length, 8);
      parse_anything(bad);
    }
  }
}

TEST_CASE("safetensors: float16 becomes float32, exactly") {
  const std::pair<std::uint16_t, float> halves[] = {
      {0x3c00, 1.f},         {0xc000, -2.f},
      {0x7bff, 65504.f},     {0x0400, 0x1p-14f},
      {0x0001, 0x1p-24f},    {0x83ff, -1023 * 0x1p-24f},
      {0x3555, 0x1.554p-2f}, {0xfc00, -std::numeric_limits<float>::infinity()}};
  std::string header = R"({"x":{"dtype":"F16","shape":[8],"data_offsets":[0,16]}})", bytes(8, 0);
  bytes[0] = char(header.size());
  bytes += header;
  for (const auto& [bits, value] : halves) {
    bytes += char(bits & 0xff);
    bytes += char(bits >> 8);
  }
  const std::vector<float> read =
      parse_safetensors(bytes, "halves").tensors.at("x").values<float>();
  for (std::size_t i = 0; i < 8; ++i) CHECK(read[i] == halves[i].second);
}
