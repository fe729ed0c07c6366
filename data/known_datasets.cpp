// Where the known data sets come from, and what reads them.
#include <shatter/data/known_datasets.h>

#include <shatter/kernels/error.h>

namespace shatter::data {
namespace {

/// Four gzipped idx files, MD5 in the order train images, train labels, test images, test labels.
KnownDataset mnist_family(const std::string& name, const std::string& title,
                          const std::string& host, const std::vector<std::string>& checksums) {
  KnownDataset result{.name = name,
                      .title = title,
                      .train_size = 60000,
                      .test_size = 10000,
                      .subfolder = name,
                      .read = [name](const std::filesystem::path& folder, Split split) {
                        return mnist(folder, split, name);
                      }};
  const char* files[] = {"train-images-idx3", "train-labels-idx1", "t10k-images-idx3",
                         "t10k-labels-idx1"};
  for (std::size_t i = 0; i < 4; ++i)
    result.files.push_back({host + files[i] + "-ubyte.gz", checksums[i]});
  return result;
}

}  // namespace

const std::vector<KnownDataset>& known_datasets() {
  static const std::vector<KnownDataset> known{
      {.name = "cifar10",
       .title = "CIFAR-10",
       .train_size = 50000,
       .test_size = 10000,
       .subfolder = "cifar-10-batches-bin",
       .first_file = "data_batch_1.bin",
       .files = {{"https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",
                  "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd", true}},
       .read = cifar10},
      {.name = "cifar100",
       .title = "CIFAR-100",
       .train_size = 50000,
       .test_size = 10000,
       .subfolder = "cifar-100-binary",
       .first_file = "train.bin",
       .files = {{"https://www.cs.toronto.edu/~kriz/cifar-100-binary.tar.gz",
                  "03b5dce01913d631647c71ecec9e9cb8", true}},
       .read = cifar100},
      mnist_family("mnist", "MNIST", "https://ossci-datasets.s3.amazonaws.com/mnist/",
                   {"f68b3c2dcbeaaa9fbdd348bbdeb94873", "d53e105ee54ea40749a09fcbcd1e9432",
                    "9fb629c4189551a2d022fa330f9573f3", "ec29112dd5afa0611ce80d1b7f02629c"}),
      mnist_family("fashion-mnist", "Fashion-MNIST",
                   "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
                   {"8d4fb7e6c68d591d4c3dfef9ec88bf0d", "25c81989df183df01b3e8a0aad5dffbe",
                    "bef4ecab320f06d8554ea6380940ec79", "bb300cfdad3c16e7a12a480ee83cd310"}),
      mnist_family("kmnist", "KMNIST", "http://codh.rois.ac.jp/kmnist/dataset/kmnist/",
                   {"bdb82020997e1d708af4cf47b453dcf7", "e144d726b3acfaa3e44228e80efcd344",
                    "5c965bf0a639b31b8f53240b1b52f4d7", "7320c461ea6c1c855c0b718fb2a4b134"})};
  return known;
}

const KnownDataset& known_dataset(const std::string& name) {
  std::string names;
  for (const KnownDataset& known : known_datasets()) {
    if (known.name == name) return known;
    names += text(names.empty() ? "" : ", ", known.name);
  }
  fail(ErrorKind::usage, "unknown data set \"", name, "\", expected one of ", names);
}

bool is_available(const KnownDataset& dataset, const std::filesystem::path& folder) {
  return std::filesystem::exists(folder / dataset.subfolder) ||
         (!dataset.first_file.empty() && std::filesystem::exists(folder / dataset.first_file));
}

Dataset load(const std::string& name, const std::filesystem::path& folder, Split split) {
  return name == "synthetic" ? synthetic(split) : known_dataset(name).read(folder, split);
}

}  // namespace shatter::data
