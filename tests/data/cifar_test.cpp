// CIFAR-10 and CIFAR-100 from hand-made files of the official size.
#include <utility>
#include <vector>

#include <shatter/data/checksum.h>
#include <shatter/data/dataset.h>

#include "tests/support/files.h"

using namespace shatter;

namespace {

constexpr std::size_t pixels = 3072;

/// A file of zeros but for the bytes written into it; the zeros take no room on the disk.
class Records {
 public:
  Records(const std::filesystem::path& path, std::size_t records, std::size_t label_bytes)
      : path_(path), record_(label_bytes + pixels) {
    put(path, "");
    std::filesystem::resize_file(path, records * record_);
  }
  void set(std::size_t record, std::size_t place, int value) {
    std::fstream file(path_, std::ios::binary | std::ios::in | std::ios::out);
    file.seekp(std::streamoff(record * record_ + place));
    file.put(char(value));
    REQUIRE(file.good());
  }

 private:
  std::filesystem::path path_;
  std::size_t record_;
};

}  // namespace

TEST_CASE("cifar10: records become NHWC images in order") {
  const TemporaryFolder folder;
  const auto batches = folder / "cifar-10-batches-bin";
  for (int batch = 1; batch <= 5; ++batch) {
    Records file(batches / ("data_batch_" + std::to_string(batch) + ".bin"), 10000, 1);
    file.set(0, 0, batch);                                 // label of the first record
    file.set(9999, 0, 9);                                  // and the last
    file.set(7, 1 + 0 * 1024 + 0, 10 + batch);             // red of pixel (0, 0)
    file.set(7, 1 + 1 * 1024 + 1, 20 + batch);             // green of pixel (0, 1)
    file.set(7, 1 + 2 * 1024 + 32 * 5 + 31, 200 + batch);  // blue of pixel (5, 31)
  }
  put(batches / "provenance.txt", "\n  Made by hand. \n\n");
  const data::Dataset train = data::cifar10(folder.path(), data::Split::train);
  CHECK(train.name == "cifar10/train");
  CHECK(train.classes == 10);
  CHECK(train.size() == 50000);
  CHECK(train.images.shape() == Shape{50000, 32, 32, 3});
  CHECK(train.images.dtype() == DType::uint8);
  CHECK(train.labels.shape() == Shape{50000});
  CHECK(train.provenance == "Made by hand.");
  CHECK(!train.true_labels.defined());
  const auto* labels = train.labels.data<std::int32_t>();
  const auto* images = train.images.data<std::uint8_t>();
  for (std::int64_t batch = 0; batch < 5; ++batch) {
    CHECK(labels[batch * 10000] == batch + 1);
    CHECK(labels[batch * 10000 + 9999] == 9);
    const auto* image = images + (batch * 10000 + 7) * std::int64_t(pixels);
    CHECK(image[0] == 11 + batch);
    CHECK(image[1 * 3 + 1] == 21 + batch);
    CHECK(image[(5 * 32 + 31) * 3 + 2] == 201 + batch);
    int sum = 0;
    for (std::size_t i = 0; i < pixels; ++i) sum += image[i];
    CHECK(sum == 10 + 20 + 200 + 3 * (batch + 1));  // and nothing else
  }
  REQUIRE(train.checksums.size() == 5);
  CHECK(train.checksums.at("data_batch_3.bin") == data::md5(get(batches / "data_batch_3.bin")));
}

TEST_CASE("cifar10: the folder itself may be given") {
  const TemporaryFolder folder;
  Records(folder / "test_batch.bin", 10000, 1).set(3, 0, 4);
  const data::Dataset test = data::load("cifar10", folder.path(), data::Split::test);
  CHECK(test.size() == 10000);
  CHECK(test.labels.data<std::int32_t>()[3] == 4);
  CHECK(test.provenance.empty());
}

TEST_CASE("cifar100: the fine label is read") {
  const TemporaryFolder folder;
  Records file(folder / "cifar-100-binary" / "test.bin", 10000, 2);
  file.set(1, 0, 19);  // coarse
  file.set(1, 1, 99);  // fine
  file.set(1, 2, 5);   // red of pixel (0, 0)
  const data::Dataset test = data::cifar100(folder.path(), data::Split::test);
  CHECK(test.classes == 100);
  CHECK(test.labels.data<std::int32_t>()[1] == 99);
  CHECK(test.images.data<std::uint8_t>()[pixels] == 5);
  file.set(2, 1, 100);
  CHECK_THAT(message_of([&] { data::cifar100(folder.path(), data::Split::test); }),
             Contains("record 2 has label 100") && Contains("0 to 99"));
}

TEST_CASE("cifar10: what is wrong with the files is said") {
  const TemporaryFolder folder;
  const auto load = [&] { data::cifar10(folder.path(), data::Split::test); };
  const auto batches = folder / "cifar-10-batches-bin";
  const auto path = batches / "test_batch.bin";

  CHECK_THAT(message_of(load), Contains("cifar10: ") && Contains(batches.string()) &&
                                   Contains("download_data") && Contains("cifar10"));
  std::filesystem::create_directory(batches);
  CHECK_THAT(message_of(load), Contains(path.string()) && Contains("No such file") &&
                                   Contains("fetch it again with: download_data --data " +
                                            folder.path().string() + " cifar10"));
  Records file(path, 10000, 1);
  CHECK_NOTHROW(load());

  std::filesystem::resize_file(path, 4017 * 3073 + 5);
  CHECK_THAT(message_of(load),
             Contains(path.string() + " is truncated: 12344246 bytes, expected 30730000 "
                                      "(record 4017 is incomplete); fetch it again with: "
                                      "download_data --data "));
  std::filesystem::resize_file(path, 4017 * 3073);
  CHECK_THAT(message_of(load), Contains("(record 4017 is missing)"));
  std::filesystem::resize_file(path, 0);
  CHECK_THAT(message_of(load), Contains("truncated: 0 bytes"));
  std::filesystem::resize_file(path, 30730001);
  CHECK_THAT(message_of(load), Contains("too long: 30730001 bytes, expected 30730000"));
  std::filesystem::resize_file(path, 30730000);
  file.set(9998, 0, 10);
  CHECK_THAT(message_of(load), Contains("record 9998 has label 10, expected 0 to 9"));
  std::filesystem::remove(path);
  std::filesystem::create_directory(path);
  CHECK_THAT(message_of(load), Contains("directory"));
}

TEST_CASE("cifar10: the real data", "[.cifar10]") {
  const auto folder = data::data_folder();
  const data::Dataset train = data::cifar10(folder, data::Split::train);
  const data::Dataset test = data::cifar10(folder, data::Split::test);
  for (const auto& [set, each] : {std::pair(&train, 5000), std::pair(&test, 1000)}) {
    std::vector<int> counts(10);
    for (const std::int32_t label : set->labels.values<std::int32_t>()) {
      ++counts[std::size_t(label)];
    }
    CHECK(counts == std::vector<int>(10, each));  // balanced, as published
  }
  // The first training image is a frog, the first test image a cat: the well-known ones.
  CHECK(train.labels.data<std::int32_t>()[0] == 6);
  CHECK(test.labels.data<std::int32_t>()[0] == 3);
}
