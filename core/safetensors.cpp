// The safetensors format: 8 bytes of header length, a JSON header, the tensors' bytes end to end.
#include <shatter/core/safetensors.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <set>
#include <tuple>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include <shatter/core/file.h>
#include <shatter/core/file_shape.h>

namespace shatter {
namespace {

static_assert(std::endian::native == std::endian::little, "the format is little-endian");

constexpr const char* metadata_key = "__metadata__";
constexpr std::uint64_t header_limit = 100'000'000;  // the reference implementation's

const char* tag_of(DType dtype) {
  switch (dtype) {
    case DType::float32: return "F32";
    case DType::float64: return "F64";
    case DType::bfloat16: return "BF16";
    case DType::uint8: return "U8";
    case DType::int32: return "I32";
    case DType::int64: return "I64";
  }
  return "?";
}

constexpr const char* half_tag = "F16";

/// Exactly: every float16 is a float32.
float from_half(std::uint16_t bits) {
  const int exponent = bits >> 10 & 0x1f, fraction = bits & 0x3ff;
  const std::uint32_t sign = std::uint32_t(bits & 0x8000) << 16;
  if (exponent == 0x1f)
    return std::bit_cast<float>(sign | 0x7f800000 | std::uint32_t(fraction) << 13);
  const float size = exponent == 0 ? std::ldexp(float(fraction), -24)
                                   : std::ldexp(float(fraction + 0x400), exponent - 25);
  return sign ? -size : size;
}

constexpr DType all_types[] = {DType::float32, DType::float64, DType::bfloat16,
                               DType::uint8,   DType::int32,   DType::int64};

/// Text of a file for a message: what a terminal would act on is replaced, the rest cut short.
std::string shown(std::string_view words) {
  constexpr std::size_t limit = 160;
  std::string result = "\"";
  for (const char c : words.substr(0, limit)) {
    result += static_cast<unsigned char>(c) < 0x20 || c == 0x7f ? '?' : c;
  }
  return result + (words.size() > limit ? "...\"" : "\"");
}

/// As Shape's, which refuses to hold what a hostile file may say.
std::string text_of(const std::vector<std::int64_t>& dims) {
  std::string result = "[";
  for (const std::int64_t dim : dims) result += text(result.size() > 1 ? ", " : "", dim);
  return result + "]";
}

/// The header's entry of one tensor.
struct Entry {
  std::string name;
  std::string tag;
  DType dtype;  ///< it becomes; float16 becomes float32
  std::vector<std::int64_t> dims;
  std::uint64_t begin, end;  ///< among the bytes behind the header
};

/// Reads one file; `fault` throws with its name.
class Reader {
 public:
  Reader(std::string_view bytes, std::string_view name) : bytes_(bytes), name_(name) {}

  NamedTensors read() {
    const nlohmann::json header = parse_header();
    NamedTensors result;
    std::vector<Entry> entries;
    for (const auto& [key, value] : header.items()) {
      if (key == metadata_key)
        result.metadata = metadata(value);
      else
        entries.push_back(entry(key, value));
    }
    check_layout(entries);
    for (const Entry& e : entries) {
      Tensor x = Tensor::empty(Shape(e.dims), e.dtype);
      if (e.tag == half_tag)
        read_halves(e, x);
      else if (e.end > e.begin)
        std::memcpy(x.raw(), data_.data() + e.begin, e.end - e.begin);
      result.tensors.emplace(e.name, std::move(x));
    }
    return result;
  }

 private:
  void read_halves(const Entry& e, const Tensor& x) const {
    for (std::int64_t i = 0; i < x.numel(); ++i) {
      std::uint16_t bits;
      std::memcpy(&bits, data_.data() + e.begin + std::uint64_t(i) * sizeof bits, sizeof bits);
      x.data<float>()[i] = from_half(bits);
    }
  }

  template <class... Parts>
  [[noreturn]] void fault(const Parts&... parts) const {
    fail(ErrorKind::data, name_, ": ", parts...);
  }

  nlohmann::json parse_header() {
    if (bytes_.size() < 8) {
      fault("not a safetensors file: ", bytes_.size(), " bytes, expected at least 8");
    }
    std::uint64_t length;
    std::memcpy(&length, bytes_.data(), 8);
    if (length > header_limit) {
      fault("not a safetensors file: header length ", length, " exceeds ", header_limit);
    }
    if (length > bytes_.size() - 8) {
      fault("truncated: header of ", length, " bytes, but only ", bytes_.size() - 8,
            " bytes behind its length");
    }
    const std::string_view header = bytes_.substr(8, length);
    data_ = bytes_.substr(8 + length);
    if (header.empty() || header.front() != '{') fault("header does not begin with {");
    // The JSON parser would take it for the end and leave the rest unread.
    if (header.find('\0') != header.npos) fault("header is not valid JSON: it has a zero byte");

    // The parser keeps the last of equal keys; the format forbids them.
    std::vector<std::set<std::string>> keys;
    const auto on_event = [&](int depth, nlohmann::json::parse_event_t event,
                              nlohmann::json& parsed) {
      using Event = nlohmann::json::parse_event_t;
      if (depth > 4) fault("header is nested too deeply");
      if (event == Event::object_start) keys.emplace_back();
      if (event == Event::object_end) keys.pop_back();
      if (event == Event::key) {
        const std::string key = parsed.get<std::string>();
        if (!keys.back().insert(key).second) fault("key ", shown(key), " appears twice");
      }
      return true;
    };
    try {
      return nlohmann::json::parse(header.begin(), header.end(), on_event);
    } catch (const nlohmann::json::exception& error) {
      fault("header is not valid JSON: ", shown(error.what()));
    }
  }

  std::map<std::string, std::string> metadata(const nlohmann::json& value) const {
    if (!value.is_object()) fault(metadata_key, " is not an object");
    std::map<std::string, std::string> result;
    for (const auto& [key, item] : value.items()) {
      if (!item.is_string()) fault(metadata_key, ": ", shown(key), " is not a string");
      result[key] = item.get<std::string>();
    }
    return result;
  }

  Entry entry(const std::string& name, const nlohmann::json& value) const {
    const std::string who = "tensor " + shown(name);
    if (!value.is_object()) fault(who, " is not an object");
    for (const char* key : {"dtype", "shape", "data_offsets"}) {
      if (!value.contains(key)) fault(who, " has no ", key);
    }
    if (value.size() != 3) fault(who, " has a key besides dtype, shape and data_offsets");

    const std::string tag = tag_in(who, value["dtype"]);
    Entry e{name, tag, dtype(who, tag), {}, 0, 0};
    e.dims = dims(who, value["shape"]);
    const nlohmann::json& offsets = value["data_offsets"];
    if (!offsets.is_array() || offsets.size() != 2 || !offsets[0].is_number_unsigned() ||
        !offsets[1].is_number_unsigned()) {
      fault(who, ": data_offsets is not a pair of non-negative integers");
    }
    e.begin = offsets[0].get<std::uint64_t>();
    e.end = offsets[1].get<std::uint64_t>();
    if (e.begin > e.end) fault(who, " ends at byte ", e.end, ", before it begins at ", e.begin);
    if (e.end > data_.size()) {
      fault(who, " ends at byte ", e.end, ", but the file has only ", data_.size(),
            " bytes of data");
    }
    const auto expected = bytes_of_shape(e.dims, tag == half_tag ? DType::bfloat16 : e.dtype);
    if (!expected) fault(who, ": shape ", text_of(e.dims), " overflows");
    if (e.end - e.begin != *expected) {
      fault(who, " has ", e.end - e.begin, " bytes, its shape ", text_of(e.dims), " of ", tag,
            " needs ", *expected);
    }
    return e;
  }

  std::string tag_in(const std::string& who, const nlohmann::json& value) const {
    if (!value.is_string()) fault(who, ": dtype is not a string");
    return value.get<std::string>();
  }

  DType dtype(const std::string& who, const std::string& tag) const {
    if (tag == half_tag) return DType::float32;
    for (const DType dtype : all_types) {
      if (tag == tag_of(dtype)) return dtype;
    }
    fault(who, " has type ", shown(tag), ", expected F32, F64, F16, BF16, U8, I32 or I64");
  }

  std::vector<std::int64_t> dims(const std::string& who, const nlohmann::json& value) const {
    if (!value.is_array()) fault(who, ": shape is not an array");
    if (value.size() > std::size_t(Shape::max_rank)) {
      fault(who, " has ", value.size(), " dimensions, more than ", Shape::max_rank);
    }
    std::vector<std::int64_t> result;
    for (const nlohmann::json& dim : value) {
      if (!dim.is_number_unsigned() ||
          dim.get<std::uint64_t>() > std::uint64_t(std::numeric_limits<std::int64_t>::max())) {
        fault(who, ": shape entry ", dim.is_number() ? dim.dump() : std::string("(no number)"),
              " is not an integer from 0 to 2^63 - 1");
      }
      result.push_back(dim.get<std::int64_t>());
    }
    return result;
  }

  /// The tensors must cover the data exactly once.
  void check_layout(std::vector<Entry>& entries) const {
    std::sort(entries.begin(), entries.end(), [](const Entry& a, const Entry& b) {
      return std::tie(a.begin, a.end) < std::tie(b.begin, b.end);
    });
    std::uint64_t covered = 0;
    for (const Entry& e : entries) {
      if (e.begin < covered) {
        fault("tensor ", shown(e.name), " overlaps another at byte ", e.begin);
      }
      if (e.begin > covered) {
        fault("bytes ", covered, " to ", e.begin, " before tensor ", shown(e.name),
              " belong to no tensor");
      }
      covered = e.end;
    }
    if (covered != data_.size()) {
      fault(data_.size() - covered, " bytes behind the last tensor belong to no tensor");
    }
  }

  std::string_view bytes_;
  std::string_view name_;
  std::string_view data_;
};

}  // namespace

void save_safetensors(const std::filesystem::path& path, const NamedTensors& content) {
  std::vector<std::pair<std::string, Tensor>> items;
  for (const auto& [name, tensor] : content.tensors) {
    check(tensor.defined(), "save_safetensors: tensor ", shown(name), " is undefined");
    check(name != metadata_key, "save_safetensors: no tensor may be named ", metadata_key);
    items.emplace_back(name, tensor.detach());
  }
  // Larger elements first, so that every tensor lies at a multiple of its element size.
  std::stable_sort(items.begin(), items.end(), [](const auto& a, const auto& b) {
    return size_of(a.second.dtype()) > size_of(b.second.dtype());
  });

  nlohmann::ordered_json header = nlohmann::ordered_json::object();
  if (!content.metadata.empty()) header[metadata_key] = content.metadata;
  std::uint64_t end = 0;
  for (const auto& [name, tensor] : items) {
    const std::uint64_t begin = end;
    end += tensor.bytes();
    const auto dims = tensor.shape().dims();
    header[name] = {{"dtype", tag_of(tensor.dtype())},
                    {"shape", std::vector<std::int64_t>(dims.begin(), dims.end())},
                    {"data_offsets", {begin, end}}};
  }
  std::string json;
  try {
    json = header.dump();
  } catch (const nlohmann::json::exception& error) {
    fail(ErrorKind::usage, "save_safetensors: ", path.string(),
         ": a name or metadata is not UTF-8: ", error.what());
  }
  json.resize((json.size() + 7) / 8 * 8, ' ');
  check(json.size() <= header_limit, "save_safetensors: ", path.string(), ": header of ",
        json.size(), " bytes exceeds ", header_limit);

  const std::uint64_t length = json.size();
  std::string bytes(8, '\0');
  bytes.reserve(8 + json.size() + end);
  std::memcpy(bytes.data(), &length, 8);
  bytes += json;
  for (const auto& [name, tensor] : items) {
    const Tensor host = tensor.to(Device::cpu()).packed();
    bytes.append(reinterpret_cast<const char*>(host.raw()), host.bytes());
  }
  write_file_atomically(path, bytes);
}

NamedTensors load_safetensors(const std::filesystem::path& path) {
  return parse_safetensors(read_file(path), path.string());
}

NamedTensors parse_safetensors(std::string_view bytes, std::string_view name) {
  return Reader(bytes, name).read();
}

}  // namespace shatter
