// Tables of kept results: every size that was run, each with its verdicts and the command for it.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include <shatter/experiments/report/table_program.h>

namespace shatter::experiments {

/// One table for each size, data set, device and precision among the results: full-size ones first.
/// Results that belong to no row of the program are passed over.
std::vector<Table> kept_tables(const TableProgram& program,
                               const std::vector<FinishedCell>& results);

/// `document` with what stands between "<!-- name:begin -->" and "<!-- name:end -->" replaced.
/// Throws (usage) when the marks are missing.
std::string replace_section(const std::string& document, const std::string& name,
                            const std::string& section);

}  // namespace shatter::experiments
