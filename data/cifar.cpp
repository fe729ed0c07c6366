// CIFAR-10 and CIFAR-100 from their binary archives: records of label bytes and 3 colour planes.
#include <shatter/data/dataset.h>

#include <span>

#include <shatter/core/file.h>
#include <shatter/data/checksum.h>
#include <shatter/data/files.h>
#include <shatter/kernels/context.h>

namespace shatter::data {
namespace {

constexpr std::int64_t side = 32;
constexpr std::int64_t plane = side * side;
constexpr std::int64_t image_bytes = 3 * plane;

/// What tells the two data sets apart.
struct Format {
  const char* name;
  const char* subfolder;
  std::int64_t label_bytes;  ///< the last one is the label (CIFAR-100 has the coarse one before)
  std::int64_t classes;
  std::vector<std::string> files;
  std::int64_t records_per_file;
};

/// Reads file number `place` of the split into its part of images and labels; returns its MD5.
std::string read_records(const Format& format, const std::filesystem::path& folder,
                         std::size_t place, std::uint8_t* images, std::int32_t* labels) {
  const std::filesystem::path path = folder / format.files[place];
  const std::string mend = fetch_again(format.name, folder, format.subfolder);
  const std::string bytes = read_data_file(format.name, path, format.subfolder);
  const std::int64_t record_bytes = format.label_bytes + image_bytes;
  const std::int64_t expected = format.records_per_file * record_bytes;
  const auto size = std::int64_t(bytes.size());
  if (size < expected) {
    fail(ErrorKind::data, format.name, ": ", path.string(), " is truncated: ", size,
         " bytes, expected ", expected, " (record ", size / record_bytes,
         size % record_bytes ? " is incomplete" : " is missing", "); ", mend);
  }
  if (size > expected) {
    fail(ErrorKind::data, format.name, ": ", path.string(), " is too long: ", size,
         " bytes, expected ", expected, "; ", mend);
  }
  const auto* record = reinterpret_cast<const std::uint8_t*>(bytes.data());
  for (std::int64_t i = 0; i < format.records_per_file; ++i, record += record_bytes) {
    const std::int32_t label = record[format.label_bytes - 1];
    if (label >= format.classes) {
      fail(ErrorKind::data, format.name, ": ", path.string(), ": record ", i, " has label ", label,
           ", expected 0 to ", format.classes - 1, "; ", mend);
    }
    labels[i] = label;
    const std::uint8_t* planes = record + format.label_bytes;
    std::uint8_t* pixels = images + i * image_bytes;
    for (std::int64_t p = 0; p < plane; ++p) {
      for (std::int64_t c = 0; c < 3; ++c) pixels[3 * p + c] = planes[c * plane + p];
    }
  }
  return md5(bytes);
}

Dataset read(const Format& format, const std::filesystem::path& folder, Split split) {
  const std::filesystem::path place =
      find_data(format.name, folder, format.subfolder, {format.files.front()});
  const auto files = std::int64_t(format.files.size());
  const std::int64_t n = files * format.records_per_file;

  Dataset result;
  result.name = text(format.name, "/", name_of(split));
  result.classes = format.classes;
  result.images = Tensor::empty({n, side, side, 3}, DType::uint8);
  result.labels = Tensor::empty({n}, DType::int32);
  std::vector<std::string> checksums(format.files.size());
  cpu_context().parallel(files, [&](std::int64_t i) {
    const std::int64_t first = i * format.records_per_file;
    checksums[std::size_t(i)] = read_records(
        format, place, std::size_t(i), result.images.data<std::uint8_t>() + first * image_bytes,
        result.labels.data<std::int32_t>() + first);
  });
  for (std::size_t i = 0; i < checksums.size(); ++i) {
    result.checksums[format.files[i]] = checksums[i];
  }
  result.provenance = read_provenance(place);
  return result;
}

}  // namespace

Dataset cifar10(const std::filesystem::path& folder, Split split) {
  Format format{"cifar10", "cifar-10-batches-bin", 1, 10, {"test_batch.bin"}, 10000};
  if (split == Split::train) {
    format.files = {"data_batch_1.bin", "data_batch_2.bin", "data_batch_3.bin", "data_batch_4.bin",
                    "data_batch_5.bin"};
  }
  return read(format, folder, split);
}

Dataset cifar100(const std::filesystem::path& folder, Split split) {
  if (split == Split::train) {
    return read({"cifar100", "cifar-100-binary", 2, 100, {"train.bin"}, 50000}, folder, split);
  }
  return read({"cifar100", "cifar-100-binary", 2, 100, {"test.bin"}, 10000}, folder, split);
}

}  // namespace shatter::data
