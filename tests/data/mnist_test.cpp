// The MNIST family from hand-made idx files, plain and gzipped.
#include <vector>

#include <zlib.h>

#include <shatter/data/checksum.h>
#include <shatter/data/dataset.h>

#include "tests/support/files.h"

using namespace shatter;
using namespace std::string_literals;

namespace {

/// The bytes gzip makes of `plain`.
std::string gzip(const std::string& plain) {
  z_stream stream{};
  REQUIRE(deflateInit2(&stream, 9, Z_DEFLATED, 16 + MAX_WBITS, 8, Z_DEFAULT_STRATEGY) == Z_OK);
  std::string packed(deflateBound(&stream, plain.size()) + 64, '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(plain.data()));
  stream.avail_in = uInt(plain.size());
  stream.next_out = reinterpret_cast<Bytef*>(packed.data());
  stream.avail_out = uInt(packed.size());
  REQUIRE(deflate(&stream, Z_FINISH) == Z_STREAM_END);
  packed.resize(stream.total_out);
  deflateEnd(&stream);
  return packed;
}

// Three images of 2 x 2 pixels and their labels, byte for byte.
const std::string image_bytes =
    "\0\0\x08\x03\0\0\0\x03\0\0\0\x02\0\0\0\x02"s
    "\x01\x02\x03\x04\x05\x06\x07\x08\xfc\xfd\xfe\xff"s;
const std::string label_bytes = "\0\0\x08\x01\0\0\0\x03\x07\0\x09"s;

void check_content(const data::Dataset& set) {
  CHECK(set.images.shape() == Shape{3, 2, 2, 1});
  CHECK(set.images.values<std::uint8_t>() ==
        std::vector<std::uint8_t>{1, 2, 3, 4, 5, 6, 7, 8, 252, 253, 254, 255});
  CHECK(set.labels.values<std::int32_t>() == std::vector<std::int32_t>{7, 0, 9});
  CHECK(set.classes == 10);
}

}  // namespace

TEST_CASE("mnist: plain and gzipped files are read") {
  const TemporaryFolder folder;
  put(folder / "mnist/train-images-idx3-ubyte", image_bytes);
  put(folder / "mnist/train-labels-idx1-ubyte", label_bytes);
  data::Dataset train = data::mnist(folder.path(), data::Split::train);
  check_content(train);
  CHECK(train.name == "mnist/train");
  CHECK(train.checksums.at("train-images-idx3-ubyte") == data::md5(image_bytes));

  put(folder / "kmnist/t10k-images-idx3-ubyte.gz", gzip(image_bytes));
  put(folder / "kmnist/t10k-labels-idx1-ubyte.gz", gzip(label_bytes));
  const data::Dataset test = data::load("kmnist", folder.path(), data::Split::test);
  check_content(test);
  CHECK(test.name == "kmnist/test");
  CHECK(test.checksums.at("t10k-images-idx3-ubyte.gz") == data::md5(gzip(image_bytes)));

  // Several gzip members are one file; of two files the gzipped one counts.
  put(folder / "mnist/train-images-idx3-ubyte.gz",
      gzip(image_bytes.substr(0, 20)) + gzip(image_bytes.substr(20)));
  put(folder / "mnist/train-images-idx3-ubyte", "damaged");
  train = data::mnist(folder.path(), data::Split::train);
  check_content(train);

  // The folder itself.
  check_content(data::mnist(folder / "mnist", data::Split::train));
}

TEST_CASE("mnist: what is wrong with the files is said") {
  const TemporaryFolder folder;
  const auto images = folder / "mnist/t10k-images-idx3-ubyte";
  const auto labels = folder / "mnist/t10k-labels-idx1-ubyte";
  const auto fault = [&] {
    return message_of([&] { data::mnist(folder.path(), data::Split::test); });
  };
  const auto with_images = [&](const std::string& bytes) {
    put(images, bytes);
    const std::string message = fault();
    CHECK_THAT(message, Contains("mnist: " + images.string()) &&
                            Contains("fetch it again with: download_data --data " +
                                     folder.path().string() + " mnist"));
    return message;
  };
  CHECK_THAT(fault(), Contains("there is no folder") && Contains("download_data --data"));
  put(labels, label_bytes);
  CHECK_THAT(fault(), Contains(images.string()) && Contains("No such file"));
  CHECK_THAT(with_images(""), Contains("truncated: 0 bytes"));
  CHECK_THAT(with_images(image_bytes.substr(0, 15)), Contains("header alone has 16"));
  CHECK_THAT(with_images(label_bytes + std::string(8, 'x')), Contains("magic 2049, expected 2051"));
  CHECK_THAT(with_images("\x1f\x8b"s + image_bytes), Contains("magic"));
  CHECK_THAT(with_images(image_bytes.substr(0, 21)),
             Contains("5 bytes of elements, expected 12 (record 1 is incomplete)"));
  CHECK_THAT(with_images(image_bytes.substr(0, 24)), Contains("(record 2 is missing)"));
  CHECK_THAT(with_images(image_bytes + "x"), Contains("too long: 13 bytes"));
  std::string bad = image_bytes;
  bad[7] = 0;
  CHECK_THAT(with_images(bad), Contains("dimension 0 is 0"));
  CHECK_THAT(with_images("\0\0\x08\x03\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"s),
             Contains("overflow"));

  put(images, image_bytes);
  put(labels, "\0\0\x08\x01\0\0\0\x02\x07\0"s);
  CHECK_THAT(fault(), Contains("has 2 labels") && Contains("has 3 images"));
  put(labels, "\0\0\x08\x01\0\0\0\x03\x07\x0a\x01"s);
  CHECK_THAT(fault(), Contains("record 1 has label 10, expected 0 to 9"));
}

TEST_CASE("mnist: damaged gzip files are told") {
  const TemporaryFolder folder;
  put(folder / "mnist/t10k-labels-idx1-ubyte", label_bytes);
  const auto images = folder / "mnist/t10k-images-idx3-ubyte.gz";
  const std::string good = gzip(image_bytes);
  const auto fault = [&](const std::string& bytes) {
    put(images, bytes);
    return message_of([&] { data::mnist(folder.path(), data::Split::test); });
  };
  for (std::size_t size = 0; size < good.size(); ++size) {
    INFO("cut to " << size);
    CHECK_THAT(fault(good.substr(0, size)), Contains(images.string()) && Contains("damaged"));
  }
  CHECK_THAT(fault(good + "rubbish"), Contains("damaged"));
  CHECK_THAT(fault(image_bytes), Contains("damaged"));
  std::string bad = good;
  bad[bad.size() - 6] ^= 1;  // the stored CRC
  CHECK_THAT(fault(bad), Contains("damaged"));
  put(images, good);
  CHECK_NOTHROW(data::mnist(folder.path(), data::Split::test));
}

TEST_CASE("mnist: the real data", "[.mnist]") {
  const auto folder = data::data_folder();
  const data::Dataset train = data::mnist(folder, data::Split::train);
  const data::Dataset test = data::mnist(folder, data::Split::test);
  CHECK(train.images.shape() == Shape{60000, 28, 28, 1});
  CHECK(test.images.shape() == Shape{10000, 28, 28, 1});
  // The published numbers of each digit, and the first training digit, a five.
  std::vector<int> counts(10);
  for (const std::int32_t label : train.labels.values<std::int32_t>()) ++counts[std::size_t(label)];
  CHECK(counts == std::vector<int>{5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949});
  CHECK(train.labels.data<std::int32_t>()[0] == 5);
  if (train.checksums.count("train-images-idx3-ubyte.gz")) {
    CHECK(train.checksums.at("train-images-idx3-ubyte.gz") == "f68b3c2dcbeaaa9fbdd348bbdeb94873");
    CHECK(train.checksums.at("train-labels-idx1-ubyte.gz") == "d53e105ee54ea40749a09fcbcd1e9432");
    CHECK(test.checksums.at("t10k-images-idx3-ubyte.gz") == "9fb629c4189551a2d022fa330f9573f3");
    CHECK(test.checksums.at("t10k-labels-idx1-ubyte.gz") == "ec29112dd5afa0611ce80d1b7f02629c");
  }
}
