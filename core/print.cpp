// Tensors as text, in NumPy's manner.
#include <algorithm>
#include <charconv>
#include <cmath>
#include <string>
#include <vector>

#include <shatter/core/dispatch.h>
#include <shatter/core/tensor.h>

namespace shatter {
namespace {

constexpr std::int64_t all_below = 1000, edge = 3;
constexpr std::size_t line_width = 75;
constexpr int digits = 8;

template <class T, class... Format>
std::string written(T value, Format... format) {
  char text[400];
  return {text, std::to_chars(text, text + sizeof text, value, format...).ptr};
}

/// Where the digits end: at the exponent, or at the end.
std::size_t end_of(const std::string& number) {
  return std::min(number.find('e'), number.size());
}

/// How many digits stand behind the point.
std::size_t behind_point(const std::string& number) {
  const std::size_t point = number.find('.');
  return point == std::string::npos ? 0 : end_of(number) - point - 1;
}

/// The shortest text that reads back as the value, but at most `digits` digits behind the point.
template <class T>
std::string shortest(T value, std::chars_format format) {
  std::string number = written(value, format);
  if (behind_point(number) <= std::size_t(digits)) return number;
  number = written(value, format, digits);
  const std::size_t end = end_of(number);
  const std::size_t last = number.find_last_not_of('0', end - 1);
  const std::size_t kept = number[last] == '.' ? last : last + 1;
  return number.erase(kept, end - kept);
}

/// The floating numbers in one common format and width.
template <class T>
std::vector<std::string> words_of(const std::vector<T>& values) {
  T largest = 0, smallest = 0;  // of the sizes that are finite and not 0
  for (const T value : values) {
    const T size = std::abs(value);
    if (!std::isfinite(size) || size == 0) continue;
    largest = std::max(largest, size);
    smallest = smallest == 0 ? size : std::min(smallest, size);
  }
  const bool powers =
      largest >= T(1e8) || (smallest > 0 && (double(smallest) < 1e-4 || largest / smallest > 1000));
  const auto format = powers ? std::chars_format::scientific : std::chars_format::fixed;
  std::size_t places = 0;
  for (const T value : values)
    if (std::isfinite(value)) places = std::max(places, behind_point(shortest(value, format)));
  std::vector<std::string> words;
  for (const T value : values) {
    if (!std::isfinite(value)) {
      words.push_back(std::isnan(value) ? "nan" : value < 0 ? "-inf" : "inf");
    } else if (powers) {
      std::string number = written(value, format, int(places));
      if (places == 0) number.insert(number.find('e'), ".");
      words.push_back(number);
    } else {
      std::string number = shortest(value, format);
      if (number.find('.') == std::string::npos) number += '.';
      number.append(places - behind_point(number), ' ');
      words.push_back(number);
    }
  }
  return words;
}

std::vector<std::string> words_of(const std::vector<std::int64_t>& values) {
  std::vector<std::string> words;
  for (const std::int64_t value : values) words.push_back(written(value));
  return words;
}

/// The places along a dimension that are shown; -1 stands for those left out.
std::vector<std::int64_t> places(std::int64_t size, bool summarised) {
  std::vector<std::int64_t> shown;
  for (std::int64_t i = 0; i < size; ++i) {
    if (summarised && size > 2 * edge && i == edge) {
      shown.push_back(-1);
      i = size - edge;
    }
    shown.push_back(i);
  }
  return shown;
}

/// Calls use(flat index) for every element that is shown, in order.
template <class Use>
void for_shown(const Shape& shape, bool summarised, int axis, std::int64_t at, const Use& use) {
  if (axis == shape.rank()) return use(at);
  for (const std::int64_t i : places(shape[axis], summarised))
    if (i >= 0) for_shown(shape, summarised, axis + 1, at * shape[axis] + i, use);
}

/// Brackets about the words, which are taken in order.
std::string bracketed(const Shape& shape, bool summarised, int axis, const std::string& indent,
                      std::size_t width, const std::string*& word) {
  if (axis == shape.rank()) return *word++;
  const int left = shape.rank() - axis;
  const std::vector<std::int64_t> shown = places(shape[axis], summarised);
  std::string text, line = indent;
  for (std::size_t i = 0; i < shown.size(); ++i) {
    const std::string item =
        shown[i] < 0 ? "..."
                     : bracketed(shape, summarised, axis + 1, indent + ' ', width - 1, word);
    const bool end = i + 1 == shown.size();
    if (left == 1) {
      if (line.size() + item.size() > width - 1 && line.size() > indent.size()) {
        text += line.substr(0, line.find_last_not_of(' ') + 1) + '\n';
        line = indent;
      }
      line += item + (end ? "" : " ");
    } else {
      text += indent + item + (end ? "" : std::string(std::size_t(left - 1), '\n'));
    }
  }
  if (left == 1) text += line;
  return '[' + text.substr(std::min(indent.size(), text.size())) + ']';
}

}  // namespace

std::ostream& operator<<(std::ostream& out, const Tensor& x) {
  if (!x) return out << "undefined";
  const bool summarised = x.numel() > all_below;
  const auto print = [&]<class T>() {
    const std::vector<T> all = x.values<T>();
    std::vector<T> shown;
    for_shown(x.shape(), summarised, 0, 0,
              [&](std::int64_t at) { shown.push_back(all[std::size_t(at)]); });
    std::vector<std::string> words = words_of(shown);
    std::size_t widest = 0;
    for (const std::string& word : words) widest = std::max(widest, word.size());
    for (std::string& word : words) word.insert(0, widest - word.size(), ' ');
    const std::string* word = words.data();
    return bracketed(x.shape(), summarised, 0, " ", line_width, word);
  };
  if (x.numel() == 0) return out << "[] (" << x.str() << ")";
  out << (x.dtype() == DType::float64 ? print.operator()<double>()
          : is_floating(x.dtype())    ? print.operator()<float>()
                                      : print.operator()<std::int64_t>());
  if (summarised || x.dtype() != DType::float32) out << " (" << x.str() << ")";
  return out;
}

}  // namespace shatter
