# The front door. Behind it are ordinary CMake presets (CMakePresets.json).
# With an NVIDIA driver and nvcc the library is built with CUDA, else for the CPU.
PRESET ?= $(if $(and $(wildcard /dev/nvidiactl),$(shell command -v nvcc)),cuda,cpu)
JOBS ?= $(shell nproc)
BUILD := build/$(PRESET)
# ccache, where it is installed, also serves other clones of the project.
export CMAKE_CXX_COMPILER_LAUNCHER ?= $(shell command -v ccache)
export CMAKE_CUDA_COMPILER_LAUNCHER ?= $(CMAKE_CXX_COMPILER_LAUNCHER)
export CCACHE_NOHASHDIR = 1
export CCACHE_BASEDIR = $(CURDIR)
SOURCES := $(shell git ls-files '*.h' '*.cpp' '*.cu')

.PHONY: all build test table1 report check gpu-package sanitize-gpu format lint clean
all: build

build:
	@.ci/dependencies build
	@cmake --preset $(PRESET) --log-level=NOTICE $(if $(CI),-DSHATTER_WERROR=ON)
	@cmake --build $(BUILD) -j $(JOBS)

test: build
	@.ci/real_data_tests $(BUILD)
	@ctest --test-dir $(BUILD) --output-on-failure -j $(JOBS)
	@echo "Tests ran on the CPU and on emulated CUDA. On a GPU: $$($(BUILD)/experiments/table1 --version | sed -n 's/^GPU *//p')"

# The paper's Table 1 in small: every row, fewer images and epochs. Without --quick: the full one.
table1: build
	@$(BUILD)/experiments/table1 --quick

# Every table and figure of the kept results: reports/report/report.html and docs/reproducing.md.
report: build
	@.ci/dependencies report
	@experiments/report/report.py --programs $(BUILD)/experiments --into docs/reproducing.md

# What continuous integration runs beyond the tests.
check:
	@.ci/dependencies check
	@.ci/check

# One archive to carry to a GPU machine without network or packages (benchmarks/gpu_acceptance runs it).
gpu-package:
	@.ci/dependencies gpu-package
	@cmake --preset gpu-package --log-level=NOTICE
	@cmake --build build/gpu-package -j $(JOBS) --target kernels_tests cuda_tests cudnn_tests conv_bench kernel_bench train_bench table1 figure1 figure2 table3 table4 randomization_test
	@benchmarks/gpu_package build/gpu-package build/gpu_package

# compute-sanitizer over the tests of the library's own kernels; needs a GPU. What CUDA's libraries
# probe and are refused is no error.
sanitize-gpu:
	@command -v compute-sanitizer >/dev/null || { echo "sanitize-gpu: no compute-sanitizer; it comes with the CUDA toolkit" >&2; exit 4; }
	@.ci/dependencies build
	@cmake --preset cuda --log-level=NOTICE
	@cmake --build build/cuda -j $(JOBS) --target kernels_tests
	@for tool in "memcheck --report-api-errors no" racecheck initcheck synccheck; do \
	  SHATTER_REQUIRE_CUDA=1 compute-sanitizer --tool $$tool --error-exitcode 9 --kernel-regex kns=shatter \
	    build/cuda/tests/kernels_tests '~[large]~"*cuDNN*"~"*own choice*"~"*oneDNN*"~"*Winograd*"~"matmul*"~"linear*"' || exit $$?; done

format:
	@.ci/dependencies lint
	@clang-format -i $(SOURCES)

lint: build
	@.ci/dependencies lint
	@printf '%s\n' $(filter-out kernels/cuda/% kernels/emulation/% tests/%,$(filter %.cpp,$(SOURCES))) | \
	  xargs -P $(JOBS) -n 1 clang-tidy -p $(BUILD) --quiet --extra-arg=-Wno-unknown-warning-option

clean:
	@rm -rf build
