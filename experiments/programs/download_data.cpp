// download_data [--data DIR] NAME...: fetches data sets and checks that they load.
#include <cstring>
#include <iostream>
#include <string>
#include <vector>

#include <shatter/data/dataset.h>
#include <shatter/data/download.h>
#include <shatter/experiments/runs/version.h>

namespace {

using namespace shatter;

void print_help(std::ostream& out) {
  out << "download_data [--data DIR] [--force] NAME...\n\n"
         "Fetches data sets from their official hosts with curl, compares their checksums and\n"
         "checks that they load. A data set that already loads is left alone.\n\n"
         "  NAME         ";
  for (const data::KnownDataset& known : data::known_datasets()) out << known.name << ' ';
  out << "all\n"
         "  --data DIR   the data folder (default: $SHATTER_DATA, else datasets)\n"
         "  --force      fetch again what already loads\n"
         "  --list       print the names of those in the data folder\n"
         "  --help       this text\n"
         "  --version    library, commit, compiler and backends\n\n"
         "Examples:\n"
         "  download_data cifar10\n"
         "  download_data --data ~/datasets cifar10 mnist\n"
         "  download_data --force mnist\n";
}

/// Loads both splits: the proof that all files are there and whole.
void load_all(const std::string& name, const std::filesystem::path& folder) {
  for (const data::Split split : {data::Split::train, data::Split::test})
    data::load(name, folder, split);
}

void provide(const data::KnownDataset& what, const std::filesystem::path& folder, bool force) {
  if (!force) {
    try {
      load_all(what.name, folder);
      std::cout << what.name << ": already in " << folder.string() << '\n';
      return;
    } catch (const Error&) {
      // Missing or damaged: what this program is for.
    }
  }
  data::download(what, folder, &std::cerr);
  load_all(what.name, folder);
  std::cout << what.name << ": ready in " << folder.string() << '\n';
}

int run(const std::vector<std::string>& words) {
  std::filesystem::path folder;
  std::vector<data::KnownDataset> wanted;
  bool force = false, list = false;
  for (std::size_t i = 0; i < words.size(); ++i) {
    const std::string& word = words[i];
    if (word == "--help" || word == "-h") {
      print_help(std::cout);
      return 0;
    }
    if (word == "--version") {
      std::cout << experiments::version_text("download_data");
      return 0;
    }
    if (word == "--data") {
      check(i + 1 < words.size(), "--data needs a folder");
      folder = words[++i];
    } else if (word.starts_with("--data=")) {
      folder = word.substr(std::strlen("--data="));
    } else if (word == "--force") {
      force = true;
    } else if (word == "--list") {
      list = true;
    } else if (word == "all") {
      wanted = data::known_datasets();
    } else {
      check(!word.starts_with("-"), "unknown option ", word, "; see --help");
      wanted.push_back(data::known_dataset(word));
    }
  }
  if (list) {
    for (const data::KnownDataset& known : data::known_datasets()) {
      if (data::is_available(known, data::data_folder(folder))) std::cout << known.name << "\n";
    }
    return 0;
  }
  if (wanted.empty()) {
    print_help(std::cerr);
    return 2;
  }
  for (const data::KnownDataset& what : wanted) provide(what, data::data_folder(folder), force);
  return 0;
}

}  // namespace

int main(int count, char** words) {
  try {
    return run({words + 1, words + count});
  } catch (const shatter::Error& error) {
    std::cerr << "download_data: " << error.what() << '\n';
    if (error.kind() == shatter::ErrorKind::usage) return 2;
    return error.kind() == shatter::ErrorKind::data ? 3 : 1;
  } catch (const std::exception& error) {
    std::cerr << "download_data: " << error.what() << '\n';
    return 1;
  }
}
