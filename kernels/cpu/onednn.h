// What differs between oneDNN 2 and 3: how a primitive's descriptor is made.
#pragma once

#include <dnnl.hpp>

namespace shatter::kernels {

/// The descriptor of the primitive that `arguments` describe, in oneDNN's order: kinds, memory
/// descriptors, strides, padding. Throws dnnl::error where oneDNN has no such primitive.
template <class Primitive, class... Arguments>
typename Primitive::primitive_desc onednn_descriptor(const dnnl::engine& engine,
                                                     const dnnl::primitive_attr& attributes,
                                                     const Arguments&... arguments) {
#if DNNL_VERSION_MAJOR >= 3
  return {engine, arguments..., attributes};
#else
  return {typename Primitive::desc(arguments...), attributes, engine};
#endif
}

/// The same of a gradient, which takes the descriptor of its forward primitive as a hint.
template <class Primitive, class Forward, class... Arguments>
typename Primitive::primitive_desc onednn_gradient_descriptor(
    const dnnl::engine& engine, const dnnl::primitive_attr& attributes, const Forward& forward,
    const Arguments&... arguments) {
#if DNNL_VERSION_MAJOR >= 3
  return {engine, arguments..., forward, attributes};
#else
  return {typename Primitive::desc(arguments...), attributes, engine, forward};
#endif
}

}  // namespace shatter::kernels
