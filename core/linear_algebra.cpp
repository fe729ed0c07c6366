// Factorizations on the host; gradients composed of differentiable ops.
#include <shatter/core/linear_algebra.h>

#include <Eigen/Cholesky>
#include <Eigen/Eigenvalues>
#include <Eigen/LU>
#include <Eigen/QR>
#include <Eigen/SVD>
#include <algorithm>
#include <cmath>
#include <functional>

#include <shatter/core/checks.h>
#include <shatter/core/indexing.h>
#include <shatter/core/ops.h>

namespace shatter {
namespace {

// All is computed in double: one instantiation of Eigen's decompositions, and float32 gets results
// that are right to its last bit or so.
using Matrix = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

void check_matrices(const char* op, const Tensor& a) {
  ops::check_operands(op, {a});
  check(a.dtype() != DType::bfloat16, op, ": operands are bfloat16, expected float32 or float64");
  check(a.rank() >= 2, op, ": operand is ", a.str(), ", expected [..., m, n]");
}
void check_square(const char* op, const Tensor& a) {
  check_matrices(op, a);
  check(a.dim(-1) == a.dim(-2), op, ": operand is ", a.str(), ", expected square matrices");
}

/// a's shape with other last two dimensions.
Shape with_last(const Tensor& a, const std::vector<std::int64_t>& last) {
  std::vector<std::int64_t> dims(a.shape().dims().begin(), a.shape().dims().end() - 2);
  dims.insert(dims.end(), last.begin(), last.end());
  return Shape(dims);
}

/// Matrix i of a batch in float64.
Eigen::Map<Matrix> matrix(const Tensor& x, std::int64_t i) {
  const std::int64_t m = x.dim(-2), n = x.dim(-1);
  return {x.data<double>() + i * m * n, m, n};
}

/// Calls f(i) for every matrix of the batch a.
template <class F>
void each(const Tensor& a, F&& f) {
  const std::int64_t size = a.dim(-1) * a.dim(-2), count = size ? a.numel() / size : 0;
  for (std::int64_t i = 0; i < count; ++i) f(i);
}

/// a on the host, in float64 and packed. Throws for what is not finite: Eigen's factors of it would
/// be anything.
Tensor host(const char* op, const Tensor& a) {
  const Tensor x = a.detach().to(Device::cpu()).to(DType::float64).packed();
  const bool finite = std::all_of(x.data<double>(), x.data<double>() + x.numel(),
                                  [](double value) { return std::isfinite(value); });
  if (!finite) fail(ErrorKind::data, op, ": ", a.str(), " holds a value that is not finite");
  return x;
}
/// A tensor on the host for results.
Tensor made(const Shape& shape) {
  return Tensor::empty(shape, DType::float64);
}

Tensor transposed(const Tensor& a) {
  return transpose(a, -1, -2);
}
/// vectors diag(scale): each column times its number.
Tensor scaled_columns(const Tensor& vectors, const Tensor& scale) {
  return vectors * unsqueeze(scale, scale.rank() - 1);
}

/// [m, m]: weights of the lower triangle, the diagonal, and the upper one.
Tensor triangles(const Tensor& like, double lower, double diagonal, double upper) {
  const std::int64_t m = like.dim(-1);
  std::vector<double> values(std::size_t(m * m));
  for (std::int64_t i = 0; i < m; ++i)
    for (std::int64_t j = 0; j < m; ++j)
      values[std::size_t(i * m + j)] = i > j ? lower : i == j ? diagonal : upper;
  return Tensor::from(values, {m, m}).to(like.dtype()).to(like.device());
}

/// The gradient of a symmetric matrix of which only the lower triangle is read: that of both
/// halves.
Tensor of_triangle(const Tensor& full) {
  return (full + transposed(full)) * 0.5 * triangles(full, 2, 1, 0);
}

[[noreturn]] void fail_at(const char* op, std::int64_t i, const Tensor& a, const char* what) {
  const bool batch = a.rank() > 2;
  fail(ErrorKind::data, op, ": ", batch ? text("matrix ", i, " of ") : std::string(), a.str(), " ",
       what);
}

/// From a and the gradient dy of one of its results to that of a. It recomputes the results, so
/// that it can itself be differentiated.
using Gradient = std::function<Tensor(const Tensor& a, const Tensor& dy)>;
Tensor recorded(const char* op, const Tensor& y, const Tensor& a, Gradient gradient) {
  return record(
      op, y.to(a.dtype()).to(a.device()), {a},
      [gradient = std::move(gradient), a = Saved(a)](const Tensor& dy, const Needed&) {
        return std::vector<Tensor>{gradient(*a, dy)};
      },
      Order::second);
}

}  // namespace

Tensor cholesky(const Tensor& a) {
  check_square("cholesky", a);
  const Tensor in = host("cholesky", a), factor = Tensor::zeros(in.shape(), in.dtype());
  each(in, [&](std::int64_t i) {
    const Eigen::LLT<Matrix> llt(matrix(in, i));
    if (llt.info() != Eigen::Success) fail_at("cholesky", i, a, "is not positive definite");
    matrix(factor, i) = llt.matrixL();
  });
  return recorded("cholesky", factor, a, [](const Tensor& of, const Tensor& dy) {
    const Tensor l = cholesky(of);
    const Tensor inner = matmul(l, dy * triangles(l, 1, 1, 0), true) * triangles(l, 1, 0.5, 0);
    // L^-T inner L^-1
    const Tensor left = solve(transposed(l), inner);
    const Tensor both = transposed(solve(transposed(l), transposed(left)));
    return of_triangle(both);
  });
}

Tensor solve(const Tensor& a, const Tensor& b) {
  check_square("solve", a);
  ops::check_operands("solve", {a, b});
  if (b.defined() && b.rank() == 1 && a.rank() == 2) return squeeze(solve(a, unsqueeze(b, 1)), 1);
  check(b.defined() && b.rank() == a.rank() && with_last(b, {1, 1}) == with_last(a, {1, 1}) &&
            b.dim(-2) == a.dim(-1),
        "solve: operands are ", a.str(), " and ", b.str(),
        ", expected [..., m, m] and [..., m, k], or [m, m] and [m]");
  const Tensor in = host("solve", a), right = host("solve", b), x = made(b.shape());
  each(in, [&](std::int64_t i) {
    const Eigen::PartialPivLU<Matrix> lu(matrix(in, i));
    if ((lu.matrixLU().diagonal().array() == 0).any()) fail_at("solve", i, a, "is singular");
    matrix(x, i) = lu.solve(matrix(right, i));
  });
  return record(
      "solve", x.to(a.dtype()).to(a.device()), {a, b},
      [a = Saved(a), b = Saved(b)](const Tensor& dy, const Needed& needed) {
        const Tensor db = solve(transposed(*a), dy);
        const Tensor da = needed[0] ? -matmul(db, solve(*a, *b), false, true) : Tensor();
        return std::vector<Tensor>{da, needed[1] ? db : Tensor()};
      },
      Order::second);
}

Tensor inverse(const Tensor& a) {
  check_square("inverse", a);
  const Tensor one = Tensor::eye(a.dim(-1), a.dtype(), a.device());
  return solve(a, broadcast_to(one, a.shape()));
}

SignLogDet slogdet(const Tensor& a) {
  check_square("slogdet", a);
  const Tensor in = host("slogdet", a), sign = made(with_last(a, {})), log = made(sign.shape());
  each(in, [&](std::int64_t i) {
    const Eigen::PartialPivLU<Matrix> lu(matrix(in, i));
    double total = 0, s = double(lu.permutationP().determinant());
    for (const double pivot : lu.matrixLU().diagonal()) {
      total += std::log(std::abs(pivot));
      s *= pivot > 0 ? 1 : pivot < 0 ? -1 : pivot;
    }
    sign.data<double>()[i] = s;
    log.data<double>()[i] = total;
  });
  if (a.dim(-1) == 0) {  // the empty product
    sign.fill(1);
    log.fill(0);
  }
  return {sign.to(a.dtype()).to(a.device()),
          recorded("slogdet", log, a, [](const Tensor& of, const Tensor& dy) {
            return transposed(inverse(of)) * unsqueeze(unsqueeze(dy, -1), -1);
          })};
}

Eigh eigh(const Tensor& a) {
  check_square("eigh", a);
  const Tensor in = host("eigh", a), values = made(with_last(a, {a.dim(-1)})),
               vectors = made(a.shape());
  each(in, [&](std::int64_t i) {
    const Eigen::SelfAdjointEigenSolver<Matrix> solver(matrix(in, i));
    if (solver.info() != Eigen::Success) fail_at("eigh", i, a, "did not converge");
    std::copy_n(solver.eigenvalues().data(), a.dim(-1), values.data<double>() + i * a.dim(-1));
    matrix(vectors, i) = solver.eigenvectors();
  });
  return {recorded("eigh", values, a,
                   [](const Tensor& of, const Tensor& dy) {
                     const Tensor v = eigh(of).vectors;
                     return of_triangle(matmul(scaled_columns(v, dy), v, false, true));
                   }),
          recorded("eigh", vectors, a, [](const Tensor& of, const Tensor& dy) {
            const auto [w, v] = eigh(of);
            // Entry i, j: 1 / (w_j - w_i), on the diagonal 0.
            const Tensor one = triangles(v, 0, 1, 0);
            const Tensor gap = unsqueeze(w, w.rank() - 1) - unsqueeze(w, -1) + one;
            const Tensor inner = matmul(v, dy, true) / gap * triangles(v, 1, 0, 1);
            return of_triangle(matmul(matmul(v, inner), v, false, true));
          })};
}

Svd svd(const Tensor& a) {
  check_matrices("svd", a);
  const std::int64_t m = a.dim(-2), n = a.dim(-1), k = std::min(m, n);
  const Tensor in = host("svd", a), u = made(with_last(a, {m, k})), s = made(with_last(a, {k})),
               vt = made(with_last(a, {k, n}));
  each(in, [&](std::int64_t i) {
    const Eigen::BDCSVD<Matrix> svd(matrix(in, i), Eigen::ComputeThinU | Eigen::ComputeThinV);
    matrix(u, i) = svd.matrixU();
    matrix(vt, i) = svd.matrixV().transpose();
    std::copy_n(svd.singularValues().data(), k, s.data<double>() + i * k);
  });
  const Gradient none = [](const Tensor&, const Tensor&) -> Tensor {
    fail(ErrorKind::usage,
         "svd: u and vt have no gradient; use eigh of a^T a or a a^T for singular vectors");
  };
  return {recorded("svd", u, a, none),
          recorded("svd", s, a,
                   [](const Tensor& of, const Tensor& dy) {
                     // s is the root of the eigenvalues of the smaller product: differentiable
                     // again, where u and vt are not.
                     const bool tall = of.dim(-2) >= of.dim(-1);
                     if (!grad_enabled()) {
                       const Svd parts = svd(of);
                       return matmul(scaled_columns(parts.u, dy), parts.vt);
                     }
                     const Tensor gram = matmul(of, of, tall, !tall);
                     const Eigh system = eigh(gram);
                     const Tensor weight =
                         flip(dy, -1) / sqrt(system.values);  // eigh's rise, s falls
                     const Tensor& v = system.vectors;
                     const Tensor middle = matmul(scaled_columns(v, weight), v, false, true);
                     return tall ? matmul(of, middle) : matmul(middle, of);
                   }),
          recorded("svd", vt, a, none)};
}

Qr qr(const Tensor& a) {
  check_matrices("qr", a);
  const std::int64_t m = a.dim(-2), n = a.dim(-1), k = std::min(m, n);
  const Tensor in = host("qr", a), q = made(with_last(a, {m, k})),
               r = Tensor::zeros(with_last(a, {k, n}), in.dtype());
  each(in, [&](std::int64_t i) {
    const Eigen::HouseholderQR<Matrix> qr(matrix(in, i));
    matrix(q, i) = qr.householderQ() * Matrix::Identity(m, k);
    matrix(r, i) = qr.matrixQR().topRows(k).triangularView<Eigen::Upper>();
  });
  const auto tall = [](const Tensor& of) {
    check(of.dim(-2) >= of.dim(-1), "qr: no gradient for ", of.str(),
          ", which has more columns than rows");
  };
  // The lower triangle mirrored into the upper one, then times r^-T on the right.
  const auto finish = [](const Tensor& direct, const Tensor& m_of, const Tensor& q_of,
                         const Tensor& r_of) {
    const Tensor mirrored =
        m_of * triangles(m_of, 1, 1, 0) + transposed(m_of * triangles(m_of, 1, 0, 0));
    const Tensor sum = matmul(q_of, mirrored);
    return transposed(solve(r_of, transposed(direct ? direct + sum : sum)));
  };
  return {recorded("qr", q, a,
                   [tall, finish](const Tensor& of, const Tensor& dy) {
                     tall(of);
                     const auto [q_of, r_of] = qr(of);
                     return finish(dy, -matmul(dy, q_of, true), q_of, r_of);
                   }),
          recorded("qr", r, a, [tall, finish](const Tensor& of, const Tensor& dy) {
            tall(of);
            const auto [q_of, r_of] = qr(of);
            return finish({}, matmul(r_of, dy * triangles(r_of, 0, 1, 1), false, true), q_of, r_of);
          })};
}

}  // namespace shatter
