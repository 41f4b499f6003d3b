#include "backends/catalogue.hpp"

#include "errors.hpp"

#ifdef BSKIM_HAS_ONNXRUNTIME
#include "backends/onnxruntime.hpp"
#endif
#ifdef BSKIM_HAS_OPENVINO
#include "backends/openvino.hpp"
#endif

namespace bskim {
namespace {

constexpr const char* ONNXRUNTIME = "onnxruntime";
constexpr const char* OPENVINO = "openvino";

}  // namespace

bool is_built(const std::string& name) {
#ifdef BSKIM_HAS_ONNXRUNTIME
  if (name == ONNXRUNTIME) return true;
#endif
#ifdef BSKIM_HAS_OPENVINO
  if (name == OPENVINO) return true;
#endif
  return false;
}

std::string default_backend() {
  return is_built(ONNXRUNTIME) ? ONNXRUNTIME : OPENVINO;
}

std::unique_ptr<Backend> open_backend(const BackendOptions& options) {
  const std::string& name = options.name;
  if (name != ONNXRUNTIME && name != OPENVINO) {
    throw InputError("There is no backend '" + name + "'. Choose one of: onnxruntime, openvino.");
  }
  const bool narrow = name == OPENVINO && options.precision == "bf16";
  if (options.precision != "fp32" && !narrow) {
    const std::string precisions = name == OPENVINO ? "fp32 or bf16" : "fp32";
    throw InputError("The " + name + " backend computes in " + precisions + ", not in " + options.precision + ".");
  }
#ifdef BSKIM_HAS_ONNXRUNTIME
  if (name == ONNXRUNTIME) return make_onnxruntime(options.threads);
#endif
#ifdef BSKIM_HAS_OPENVINO
  if (name == OPENVINO) return make_openvino(options.threads, options.precision);
#endif
  throw InputError("This build of libbskim has no " + name + " backend. Configure it with -DBSKIM_WITH_" +
                   (name == OPENVINO ? "OPENVINO" : "ONNXRUNTIME") + "=ON.");
}

}  // namespace bskim
