// Laying a model out from top to bottom.
#include <shatter/core/text.h>
#include <shatter/experiments/paper/model_drawing.h>

#include <algorithm>
#include <sstream>
#include <vector>

#include <shatter/experiments/runs/progress.h>

namespace shatter::experiments {
namespace {

using Children = LayerInfo::Children;

/// A layer with what it is made of.
struct Node {
  const SummaryRow* row = nullptr;
  std::vector<Node> parts;
  double width = 0, height = 0;
};

constexpr double box_width = 168, box_height = 34, gap = 14, margin = 12, title_height = 26;

Node tree(const std::vector<SummaryRow>& rows, std::size_t& next) {
  Node node{.row = &rows[next++], .parts = {}};
  while (next < rows.size() && rows[next].depth > node.row->depth)
    node.parts.push_back(tree(rows, next));
  return node;
}

bool parallel(const Node& node) {
  return node.row->info.children == Children::in_parallel;
}

/// A part that gets a frame: one place of the model with branches in it.
bool framed(const Node& node) {
  return node.row->depth == 1 && parallel(node);
}

void measure(Node& node) {
  for (Node& part : node.parts) measure(part);
  if (node.parts.empty()) {
    node.width = box_width, node.height = box_height;
    return;
  }
  for (const Node& part : node.parts) {
    if (parallel(node)) {
      node.width += part.width;
      node.height = std::max(node.height, part.height);
    } else {
      node.width = std::max(node.width, part.width);
      node.height += part.height;
    }
  }
  const double gaps = gap * static_cast<double>(node.parts.size() - 1);
  if (parallel(node)) {
    node.width += gaps;
    node.height += gap + box_height;  // the box that joins them
  } else {
    node.height += gaps;
  }
  if (framed(node)) node.width += 2 * margin, node.height += 2 * margin;
}

std::string escaped(const std::string& text) {
  std::string result;
  for (const char c : text) {
    if (c == '<')
      result += "&lt;";
    else if (c == '>')
      result += "&gt;";
    else if (c == '&')
      result += "&amp;";
    else
      result += c;
  }
  return result;
}

/// "28 x 28 x 96", without the batch.
std::string shape_text(const Shape& shape) {
  std::string text;
  for (int i = 1; i < shape.rank(); ++i) text += (i > 1 ? " x " : "") + std::to_string(shape[i]);
  return text;
}

const char* colour_of(const std::string& type) {
  if (type.starts_with("Conv2d")) return "#dbe9f6";
  if (type.starts_with("Linear")) return "#fde3cf";
  if (type.starts_with("BatchNorm")) return "#e3f1df";
  if (type.find("Pool") != std::string::npos) return "#eee2f3";
  return "#f4f4f4";
}

class Drawing {
 public:
  /// From the point above it to the point below it.
  void add(const Node& node, double x, double y) {
    if (framed(node)) {
      rectangle(x - node.width / 2, y, node.width, node.height, "#fafafa", "#bbb");
      text(x - node.width / 2 + 3, y + 10, node.row->name, "start", 9, "#777");
      content(node, x, y + margin);
    } else {
      content(node, x, y);
    }
  }
  void arrow(double x1, double y1, double x2, double y2) {
    out_ << "<path d='M" << x1 << ' ' << y1 << " L" << x2 << ' ' << y2
         << "' stroke='#555' fill='none' marker-end='url(#head)'/>\n";
  }
  void text(double x, double y, const std::string& words, const char* anchor, int size,
            const char* colour) {
    out_ << "<text x='" << x << "' y='" << y << "' text-anchor='" << anchor << "' font-size='"
         << size << "' fill='" << colour << "'>" << escaped(words) << "</text>\n";
  }
  std::string str() const { return out_.str(); }

 private:
  void content(const Node& node, double x, double y) {
    if (node.parts.empty()) return layer(node, x, y);
    if (parallel(node)) return branches(node, x, y);
    for (std::size_t i = 0; i < node.parts.size(); ++i) {
      if (i > 0) {
        arrow(x, y - gap, x, y);
      }
      add(node.parts[i], x, y);
      y += node.parts[i].height + gap;
    }
  }
  void layer(const Node& node, double x, double y) {
    const LayerInfo& info = node.row->info;
    box(x, y, info.type, colour_of(info.type),
        shape_text(info.output) +
            (node.row->parameters > 0 ? ", " + grouped(node.row->parameters) + " parameters" : ""));
  }
  void branches(const Node& node, double x, double y) {
    double width = -gap, height = 0;
    for (const Node& part : node.parts) {
      width += part.width + gap;
      height = std::max(height, part.height);
    }
    const double below = y + height + gap;
    double left = x - width / 2;
    for (const Node& part : node.parts) {
      const double middle = left + part.width / 2;
      add(part, middle, y);
      arrow(middle, y + part.height, x + (middle - x) * 0.3, below);
      left += part.width + gap;
    }
    box(x, below, "concat", "#fff8d6", shape_text(node.row->info.output));
  }
  void box(double x, double y, const std::string& first, const char* fill,
           const std::string& second) {
    rectangle(x - box_width / 2, y, box_width, box_height, fill, "#888");
    text(x, y + 14, first, "middle", 11, "#111");
    text(x, y + 27, second, "middle", 9, "#555");
  }
  void rectangle(double x, double y, double width, double height, const char* fill,
                 const char* line) {
    out_ << "<rect x='" << x << "' y='" << y << "' width='" << width << "' height='" << height
         << "' rx='4' fill='" << fill << "' stroke='" << line << "'/>\n";
  }

  std::ostringstream out_;
};

}  // namespace

std::string draw_model(const Summary& summary, const std::string& title) {
  std::size_t next = 0;
  Node root = tree(summary.rows, next);
  measure(root);
  const double width = root.width + 2 * gap, height = root.height + 3 * gap + 2 * title_height;
  Drawing drawing;
  drawing.text(width / 2, 18, title, "middle", 14, "#111");
  drawing.add(root, width / 2, title_height + gap);
  drawing.text(width / 2, height - 10,
               grouped(summary.parameters) + " parameters, " + grouped(summary.multiply_adds) +
                   " multiply-adds per image",
               "middle", 11, "#333");
  std::ostringstream out;
  out << "<svg xmlns='http://www.w3.org/2000/svg' width='" << width << "' height='" << height
      << "' viewBox='0 0 " << width << ' ' << height << "' font-family='sans-serif'>\n"
      << "<defs><marker id='head' viewBox='0 0 8 8' refX='7' refY='4' markerWidth='6' "
         "markerHeight='6' orient='auto'><path d='M0 0 L8 4 L0 8 z' fill='#555'/></marker></defs>\n"
      << "<rect width='100%' height='100%' fill='white'/>\n"
      << drawing.str() << "</svg>\n";
  return out.str();
}

}  // namespace shatter::experiments
