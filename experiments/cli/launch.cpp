// The shared frame of all programs.
#include <shatter/core/text.h>
#include <shatter/experiments/cli/launch.h>

#include <unistd.h>

#include <algorithm>
#include <iostream>
#include <set>

#include <shatter/core/file.h>
#include <shatter/data/known_datasets.h>
#include <shatter/experiments/cli/exit_code.h>
#include <shatter/experiments/report/profile_table.h>
#include <shatter/experiments/runs/interrupt.h>

namespace shatter::experiments {

namespace fs = std::filesystem;

namespace {

/// With a profile of the work, said on stderr.
int profiled(const std::function<int()>& work) {
  struct On {
    On() {
      reset_profile();
      enable_profile(true);
    }
    ~On() { enable_profile(false); }
  };
  const On on;
  const Stopwatch watch;
  const int status = work();
  std::cerr << profile_table({profile_rows(), watch.seconds(), profile_kernels_at_once()});
  return status;
}

}  // namespace

int launch(const ProgramInfo& program, int argc, const char* const* argv,
           const std::function<int(const Options&, const std::string& command)>& body) {
  const std::vector<std::string> arguments(argv + std::min(argc, 1), argv + argc);
  try {
    const ParsedOptions parsed = parse_options(program, arguments);
    if (parsed.exit_code) {
      (*parsed.exit_code == exit_done ? std::cout : std::cerr) << parsed.text;
      return *parsed.exit_code;
    }
    const std::string command = command_line(program.name, arguments);
    const auto work = [&] { return body(parsed.options, command); };
    return parsed.options.profile ? profiled(work) : work();
  } catch (const Error& error) {
    std::cerr << program.name << ": " << error.what() << "\n";
    return exit_code(error.kind());
  } catch (const std::exception& error) {
    std::cerr << program.name << ": unexpected: " << error.what() << "\n";
    return exit_unexpected;
  }
}

RunSettings run_settings(const Options& options) {
  return {.runs = options.out / "runs",
          .keep = options.keep,
          .resume = options.resume,
          .checkpoint_every = options.checkpoint_every,
          .threads = options.threads > 0 ? options.threads : usable_cores(),
          .jobs = options.jobs,
          .fail_fast = options.fail_fast,
          .stop = [] { return Interrupt::signal() != 0; }};
}

DataSources open_data(const DataSizes& sizes, const Options& options, Progress& progress) {
  const fs::path folder = data::data_folder(options.data);
  DataSources sources;
  for (const auto& [name, size] : sizes) {
    const bool wanted = !options.synthetic && name != "synthetic";
    const bool absent = wanted && options.quick && options.data.empty() &&
                        !data::is_available(data::known_dataset(name), folder);
    if (absent)
      progress.say("no " + data::known_dataset(name).title + " in " + folder.string() +
                   ": drawing images instead");
    const bool draw = !wanted || absent;
    sources[name] = std::make_shared<const DataSource>(
        draw ? DataSource::synthetic(size.first, size.second) : DataSource::open(name, folder));
  }
  return sources;
}

void check_writable(const Options& options, const std::string& program) {
  const auto writable = [](const char* option, const fs::path& given, const fs::path& folder) {
    std::error_code error;
    fs::create_directories(folder, error);
    if (!error && access(folder.c_str(), W_OK) != 0)
      error = std::error_code(errno, std::generic_category());
    if (error)
      fail(ErrorKind::data, option, " ", given.string(), ": cannot write to ", folder.string(),
           ": ", error.message());
  };
  writable("--out", options.out, options.out / "reports" / program);
  if (!options.keep.empty()) writable("--keep", options.keep, options.keep);
}

void write_reports(const Options& options, const std::string& program,
                   const std::function<std::string(Format)>& render) {
  check_writable(options, program);
  const fs::path folder = options.out / "reports" / program;
  write_file_atomically(folder / "table.md", render(Format::markdown));
  write_file_atomically(folder / "table.csv", render(Format::csv));
  write_file_atomically(folder / "table.tex", render(Format::latex));
}

std::string in_one(const std::vector<std::string>& tables, Format format) {
  const bool json = format == Format::json;
  std::string all;
  for (const std::string& table : tables) {
    if (format == Format::csv && !all.empty())
      all += table.substr(table.find('\n') + 1);
    else
      all += (all.empty() ? "" : json ? "," : "\n") + table;
  }
  return json ? "[" + all + "]\n" : all;
}

int put_report(const ProgramInfo& program, const Options& options,
               const std::vector<Table>& tables) {
  std::vector<std::string> texts, full_size_texts;
  std::set<std::string> done;
  for (const Table& table : tables) {
    texts.push_back(render(table, options.format));
    if (!table.mark.empty()) continue;
    full_size_texts.push_back(texts.back());
    done.insert(table.sources.begin(), table.sources.end());
  }
  std::string all = in_one(texts, options.format), names;
  for (const std::string& row : program.row_names) {
    if (done.contains(row) || !matches(row, options.rows)) continue;
    names += (names.empty() ? "`" : ", `") + row + "`";
  }
  if (options.format == Format::markdown && !names.empty())
    all += "\nNot run at full size: " + names + ".\n";
  if (options.into.empty()) {
    std::cout << all;
    return exit_done;
  }
  const std::string document = read_file(options.into), full = program.name + "-full-size";
  const bool whole = document.find("<!-- " + full + ":begin -->") == std::string::npos;
  write_file_atomically(
      options.into, whole
                        ? replace_section(document, program.name, all)
                        : replace_section(document, full, in_one(full_size_texts, options.format)));
  return exit_done;
}

int interrupted_status(const Options& options, Progress& progress) {
  const int signal = Interrupt::signal();
  if (signal == 0) return 0;
  progress.say(options.resume ? "interrupted and saved: the same command goes on from here"
                              : "interrupted and saved: without --resume never the same command "
                                "goes on from here");
  return 128 + signal;
}

}  // namespace shatter::experiments
