// The MNIST family: images and labels in idx files, plain or gzipped.
#include <shatter/data/dataset.h>

#include <cstring>
#include <string_view>

#include <zlib.h>

#include <shatter/data/checksum.h>
#include <shatter/data/files.h>

namespace shatter::data {
namespace {

/// No idx file of the family is near this; a gzip file that grows beyond it is an accident.
constexpr std::size_t inflated_limit = std::size_t{1} << 30;

/// The bytes of all members of a gzip file. On failure returns what is wrong with it.
const char* inflate_gzip(std::string_view packed, std::string& bytes) {
  z_stream stream{};
  if (inflateInit2(&stream, 16 + MAX_WBITS) != Z_OK) return "zlib has no memory";
  struct End {
    z_stream& stream;
    ~End() { inflateEnd(&stream); }
  } end{stream};

  // zlib's interface predates const; it does not write to the input.
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(packed.data()));
  stream.avail_in = static_cast<uInt>(packed.size());
  std::size_t size = 0;
  for (;;) {
    if (size == bytes.size()) {
      if (size >= inflated_limit) return "it unpacks to more than 1 GiB";
      bytes.resize(size == 0 ? packed.size() * 4 + 4096 : size * 2);
    }
    stream.next_out = reinterpret_cast<Bytef*>(bytes.data()) + size;
    stream.avail_out = static_cast<uInt>(bytes.size() - size);
    const int status = inflate(&stream, Z_NO_FLUSH);
    size = bytes.size() - stream.avail_out;
    if (status == Z_STREAM_END) {
      if (stream.avail_in == 0) break;
      if (inflateReset(&stream) != Z_OK) return "zlib cannot go on";
    } else if (status == Z_BUF_ERROR ||
               (status == Z_OK && stream.avail_in == 0 && stream.avail_out > 0)) {
      return "the gzip stream ends early";
    } else if (status != Z_OK) {
      return stream.msg ? stream.msg : "the gzip stream is corrupt";
    }
  }
  bytes.resize(size);
  return nullptr;
}

/// An idx file of unsigned bytes.
struct Idx {
  std::filesystem::path path;
  std::vector<std::int64_t> dims;
  std::string bytes;
  std::size_t begin = 0;  ///< of the elements in `bytes`
  std::string checksum;

  const std::uint8_t* elements() const {
    return reinterpret_cast<const std::uint8_t*>(bytes.data()) + begin;
  }
};

Idx read_idx(const std::string& set, const std::filesystem::path& folder, const std::string& name,
             std::size_t rank) {
  // The gzipped file is what download_data fetches: where both exist it is the sound one.
  Idx idx;
  idx.path = folder / (name + ".gz");
  std::error_code ignored;
  const bool packed = std::filesystem::exists(idx.path, ignored);
  if (!packed) idx.path = folder / name;
  idx.bytes = read_data_file(set, idx.path, set);
  idx.checksum = md5(idx.bytes);

  const auto fault = [&]<class... Parts>(const Parts&... parts) {
    fail(ErrorKind::data, set, ": ", idx.path.string(), " ", parts..., "; ",
         fetch_again(set, folder, set));
  };
  if (packed) {
    if (idx.bytes.size() >= inflated_limit) fault("is too long: ", idx.bytes.size(), " bytes");
    std::string bytes;
    if (const char* wrong = inflate_gzip(idx.bytes, bytes)) fault("is damaged: ", wrong);
    idx.bytes = std::move(bytes);
  }

  const auto word = [&](std::size_t i) {  // big-endian
    std::uint32_t result = 0;
    for (std::size_t k = 0; k < 4; ++k) {
      result = result << 8 | static_cast<unsigned char>(idx.bytes[4 * i + k]);
    }
    return result;
  };
  idx.begin = 4 * (1 + rank);
  if (idx.bytes.size() < idx.begin) {
    fault("is truncated: ", idx.bytes.size(), " bytes, its header alone has ", idx.begin);
  }
  const std::uint32_t magic = 0x800 + static_cast<std::uint32_t>(rank);  // unsigned bytes, rank
  if (word(0) != magic) {
    fault("is not an idx file of ", rank, "-dimensional bytes: magic ", word(0), ", expected ",
          magic);
  }
  std::uint64_t expected = 1;
  for (std::size_t d = 0; d < rank; ++d) {
    idx.dims.push_back(word(1 + d));
    if (word(1 + d) == 0) fault("has no elements: dimension ", d, " is 0");
    if (__builtin_mul_overflow(expected, std::uint64_t{word(1 + d)}, &expected)) {
      fault("has dimensions that overflow");
    }
  }
  const std::uint64_t size = idx.bytes.size() - idx.begin;
  if (size != expected) {
    const std::uint64_t item = expected / std::uint64_t(idx.dims[0]);
    if (size < expected) {
      fault("is truncated: ", size, " bytes of elements, expected ", expected, " (record ",
            size / item, size % item ? " is incomplete)" : " is missing)");
    }
    fault("is too long: ", size, " bytes of elements, expected ", expected);
  }
  return idx;
}

}  // namespace

Dataset mnist(const std::filesystem::path& folder, Split split, const std::string& subfolder) {
  const std::string prefix = split == Split::train ? "train" : "t10k";
  const std::string image_file = prefix + "-images-idx3-ubyte";
  const std::string label_file = prefix + "-labels-idx1-ubyte";
  const std::filesystem::path place =
      find_data(subfolder, folder, subfolder, {image_file + ".gz", image_file});
  const Idx images = read_idx(subfolder, place, image_file, 3);
  const Idx labels = read_idx(subfolder, place, label_file, 1);
  const std::int64_t n = images.dims[0];
  if (labels.dims[0] != n) {
    fail(ErrorKind::data, subfolder, ": ", labels.path.string(), " has ", labels.dims[0],
         " labels, ", images.path.string(), " has ", n, " images; ",
         fetch_again(subfolder, place, subfolder));
  }

  Dataset result;
  result.name = text(subfolder, "/", name_of(split));
  result.classes = 10;
  result.images = Tensor::from(std::span(images.elements(), images.bytes.size() - images.begin),
                               {n, images.dims[1], images.dims[2], 1});
  std::vector<std::int32_t> values(std::size_t(n), 0);
  for (std::int64_t i = 0; i < n; ++i) {
    values[std::size_t(i)] = labels.elements()[i];
    if (values[std::size_t(i)] >= result.classes) {
      fail(ErrorKind::data, subfolder, ": ", labels.path.string(), ": record ", i, " has label ",
           values[std::size_t(i)], ", expected 0 to 9; ", fetch_again(subfolder, place, subfolder));
    }
  }
  result.labels = Tensor::from(values, {n});
  result.checksums[images.path.filename().string()] = images.checksum;
  result.checksums[labels.path.filename().string()] = labels.checksum;
  result.provenance = read_provenance(place);
  return result;
}

}  // namespace shatter::data
