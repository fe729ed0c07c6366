// NumPy's .npy: a magic word, a version, a Python dict literal, the elements.
#include <shatter/core/npy.h>

#include <bit>
#include <charconv>
#include <cstring>
#include <optional>
#include <string>
#include <vector>

#include <shatter/core/file.h>
#include <shatter/core/file_shape.h>

namespace shatter {
namespace {

static_assert(std::endian::native == std::endian::little, "the format is little-endian");

constexpr std::string_view magic("\x93NUMPY", 6);

const char* descr_of(DType dtype) {
  switch (dtype) {
    case DType::float32: return "<f4";
    case DType::float64: return "<f8";
    case DType::bfloat16: return nullptr;  // NumPy has none
    case DType::uint8: return "|u1";
    case DType::int32: return "<i4";
    case DType::int64: return "<i8";
  }
  return nullptr;
}

struct Header {
  std::optional<std::string> descr;
  std::optional<bool> fortran_order;
  std::optional<std::vector<std::int64_t>> shape;
};

/// Parses the header's dict: the keys descr (string), fortran_order (bool), shape (tuple).
class HeaderParser {
 public:
  HeaderParser(std::string_view text, std::string_view name) : rest_(text), name_(name) {}

  Header parse() {
    Header header;
    expect('{');
    while (!accept('}')) {
      const std::string key = string();
      expect(':');
      if (key == "descr" && !header.descr)
        header.descr = string();
      else if (key == "fortran_order" && !header.fortran_order)
        header.fortran_order = boolean();
      else if (key == "shape" && !header.shape)
        header.shape = tuple();
      else
        fault("unexpected or repeated key '", key.substr(0, 40), "'");
      if (!accept(',')) {
        expect('}');
        break;
      }
    }
    skip_space();
    if (!rest_.empty()) fault("something follows the dict");
    if (!header.descr || !header.fortran_order || !header.shape) {
      fault("descr, fortran_order or shape is missing");
    }
    return header;
  }

 private:
  template <class... Parts>
  [[noreturn]] void fault(const Parts&... parts) const {
    fail(ErrorKind::data, name_, ": npy header: ", parts...);
  }
  void skip_space() {
    const std::size_t end = rest_.find_first_not_of(" \t\n");
    rest_.remove_prefix(end == std::string_view::npos ? rest_.size() : end);
  }
  bool accept(char c) {
    skip_space();
    if (rest_.empty() || rest_.front() != c) return false;
    rest_.remove_prefix(1);
    return true;
  }
  void expect(char c) {
    if (!accept(c)) fault("expected '", c, "', ", rest_.size(), " bytes before its end");
  }
  std::string string() {
    const char quote = accept('\'') ? '\'' : '"';
    if (quote == '"') expect('"');
    const std::size_t end = rest_.find(quote);
    if (end == std::string_view::npos) fault("a string has no end");
    const std::string result(rest_.substr(0, end));
    for (const char c : result) {
      if (c < 0x20 || c == '\\') fault("a string has characters that belong to no type");
    }
    rest_.remove_prefix(end + 1);
    return result;
  }
  bool boolean() {
    skip_space();
    for (const bool value : {false, true}) {
      const std::string_view word = value ? "True" : "False";
      if (rest_.starts_with(word)) {
        rest_.remove_prefix(word.size());
        return value;
      }
    }
    fault("fortran_order is neither True nor False");
  }
  std::vector<std::int64_t> tuple() {
    std::vector<std::int64_t> result;
    expect('(');
    while (!accept(')')) {
      skip_space();
      std::int64_t dim = 0;
      const auto [end, error] = std::from_chars(rest_.data(), rest_.data() + rest_.size(), dim);
      if (error != std::errc() || dim < 0) fault("shape holds no integer from 0 to 2^63 - 1");
      rest_.remove_prefix(std::size_t(end - rest_.data()));
      result.push_back(dim);
      if (result.size() > std::size_t(Shape::max_rank)) {
        fault("more than ", Shape::max_rank, " dimensions");
      }
      if (!accept(',')) {
        expect(')');
        break;
      }
    }
    return result;
  }

  std::string_view rest_;
  std::string_view name_;
};

DType dtype_from(const std::string& descr, const std::string& name) {
  for (const DType dtype :
       {DType::float32, DType::float64, DType::uint8, DType::int32, DType::int64}) {
    if (descr == descr_of(dtype)) return dtype;
  }
  fail(ErrorKind::data, name, ": npy type '", descr.substr(0, 40),
       "' is not supported; convert it to <f4, <f8, |u1, <i4 or <i8");
}

}  // namespace

void save_npy(const std::filesystem::path& path, const Tensor& x) {
  const Tensor detached = x.detach();
  const Tensor plain = detached.dtype() == DType::bfloat16 ? detached.to(DType::float32) : detached;
  const Tensor host = plain.to(Device::cpu()).packed();

  std::string dict =
      text("{'descr': '", descr_of(host.dtype()), "', 'fortran_order': False, ", "'shape': (");
  for (int i = 0; i < host.rank(); ++i) {
    dict += text(i > 0 ? ", " : "", host.dim(i), host.rank() == 1 ? "," : "");
  }
  dict += "), }";
  // The elements begin at a multiple of 64 bytes; the header ends with a newline.
  const std::size_t preamble = magic.size() + 4;
  const std::size_t total = (preamble + dict.size() + 1 + 63) / 64 * 64;
  dict.resize(total - preamble - 1, ' ');
  dict += '\n';

  std::string bytes(magic);
  bytes += {'\1', '\0', char(dict.size() & 0xff), char(dict.size() >> 8)};
  bytes += dict;
  bytes.append(reinterpret_cast<const char*>(host.raw()), host.bytes());
  write_file_atomically(path, bytes);
}

Tensor load_npy(const std::filesystem::path& path) {
  const std::string bytes = read_file(path);
  const std::string name = path.string();
  const auto byte = [&](std::size_t i) {
    return std::size_t(static_cast<unsigned char>(bytes[i]));
  };
  if (bytes.size() < 10 || !bytes.starts_with(magic)) {
    fail(ErrorKind::data, name, ": not an npy file");
  }
  const std::size_t version = byte(6);
  if (version != 1 && version != 2) {
    fail(ErrorKind::data, name, ": npy format ", version, ".", byte(7), ", expected 1.0 or 2.0");
  }
  const std::size_t begin = version == 1 ? 10 : 12;
  std::size_t length = byte(8) | byte(9) << 8;
  if (version == 2 && bytes.size() >= begin) length |= byte(10) << 16 | byte(11) << 24;
  if (bytes.size() < begin || length > bytes.size() - begin) {
    fail(ErrorKind::data, name, ": truncated inside the npy header");
  }
  const Header header = HeaderParser(std::string_view(bytes).substr(begin, length), name).parse();
  const DType dtype = dtype_from(*header.descr, name);
  // With at most one dimension both orders are the same.
  if (*header.fortran_order && header.shape->size() > 1) {
    fail(ErrorKind::data, name, ": Fortran order; save it with numpy.ascontiguousarray(x)");
  }

  const auto expected = bytes_of_shape(*header.shape, dtype);
  if (!expected) fail(ErrorKind::data, name, ": the shape's number of bytes overflows");
  const Shape shape(*header.shape);
  const std::size_t data = bytes.size() - begin - length;
  if (data != *expected) {
    fail(ErrorKind::data, name, ": ", data, " bytes of elements, shape ", shape.str(), " of ",
         *header.descr, " needs ", *expected);
  }
  Tensor x = Tensor::empty(shape, dtype);
  if (data > 0) std::memcpy(x.raw(), bytes.data() + begin + length, data);
  return x;
}

}  // namespace shatter
