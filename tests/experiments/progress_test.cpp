// Progress: whole lines at intervals, a bar that is erased before a line, silence.
#include <shatter/core/text.h>
#include <shatter/experiments/runs/progress.h>

#include <sstream>

#include "tests/support/catch.h"

using namespace shatter;
using namespace shatter::experiments;

namespace {

constexpr CellProgress halfway{
    .epoch = 1, .epochs = 4, .images = 2000, .total = 4000, .loss = 1.25, .accuracy = 0.5};

}  // namespace

TEST_CASE("Plain progress writes whole lines, one per interval") {
  std::ostringstream out;
  double now = 0;
  Progress progress(out, ProgressMode::plain, 10, [&] { return now; });
  progress.set_cells(2);
  progress.begin("mlp", 0);
  for (now = 1; now <= 20; now += 1) progress.update("mlp", halfway);
  now = 20;
  progress.end("mlp", "mlp: done");
  CHECK(out.str() ==
        "mlp: epoch 2/4, training 50.0 %, at most 10 s left, loss 1.2500, 200 images/s\n"
        "mlp: epoch 2/4, training 50.0 %, at most 20 s left, loss 1.2500, 100 images/s\n"
        "[1/2] mlp: done\n");
}

TEST_CASE("Images of earlier sessions do not count as speed") {
  std::ostringstream out;
  double now = 0;
  Progress progress(out, ProgressMode::plain, 10, [&] { return now; });
  progress.begin("mlp", 1000);
  now = 10;
  progress.update("mlp", halfway);
  CHECK(out.str().find("at most 20 s left, loss 1.2500, 100 images/s") != std::string::npos);
}

TEST_CASE("A bar is redrawn in place and erased before a line") {
  std::ostringstream out;
  double now = 0;
  {
    Progress progress(out, ProgressMode::bar, 10, [&] { return now; });
    progress.begin("mlp", 0);
    now = 1;
    progress.update("mlp", halfway);
    progress.update("mlp", halfway);  // too soon to draw again
    progress.say("a message");
  }
  const std::string text = out.str();
  CHECK(text.find("##########..........") != std::string::npos);
  CHECK(text.find("##########..........") == text.rfind("##########.........."));
  CHECK(text.find("\r\033[Ka message\n") != std::string::npos);
  CHECK(text.back() == '\n');
}

TEST_CASE("No progress is silent") {
  std::ostringstream out;
  Progress progress(out, ProgressMode::none, 0);
  progress.begin("mlp", 0);
  progress.update("mlp", halfway);
  progress.say("x");
  progress.end("mlp", "y");
  CHECK(out.str().empty());
}

TEST_CASE("Durations and numbers read well") {
  CHECK(duration(0.2) == "0 s");
  CHECK(duration(59.4) == "59 s");
  CHECK(duration(60) == "1 min");
  CHECK(duration(200) == "3 min 20 s");
  CHECK(duration(7500) == "2 h 5 min");
  CHECK(duration(3600) == "1 h");
  CHECK(grouped(0) == "0");
  CHECK(grouped(999) == "999");
  CHECK(grouped(1234) == "1,234");
  CHECK(grouped(-1234567) == "-1,234,567");
}
