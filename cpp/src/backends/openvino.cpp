#include "backends/openvino.hpp"

#include <algorithm>
#include <mutex>
#include <openvino/openvino.hpp>
#include <utility>

#include "bundle/tensors.hpp"
#include "errors.hpp"

namespace bskim {
namespace {

const std::string NAME = "openvino";

std::string library() {
  return std::string("OpenVINO ") + ov::get_openvino_version().buildNumber;
}

ov::element::Type to_openvino(TensorType type) {
  switch (type) {
    case TensorType::int64:
      return ov::element::i64;
    case TensorType::boolean:
      return ov::element::boolean;
    case TensorType::float32:
      return ov::element::f32;
    case TensorType::float16:
      return ov::element::f16;
    case TensorType::bfloat16:
      return ov::element::bf16;
  }
  return ov::element::dynamic;
}

TensorType from_openvino(const ov::element::Type& type) {
  for (const TensorType one :
       {TensorType::int64, TensorType::boolean, TensorType::float32, TensorType::float16, TensorType::bfloat16}) {
    if (to_openvino(one) == type) return one;
  }
  throw BundleError("an output is of a type that no graph of a bundle has");
}

std::vector<std::string> names(const std::vector<ov::Output<const ov::Node>>& ports) {
  std::vector<std::string> found;
  for (const auto& port : ports) found.push_back(port.get_any_name());
  return found;
}

// Inference requests of one compiled model. Each serves one run at a time, and has memory of its own for its outputs:
// it is not free again before they are.
class Requests : public std::enable_shared_from_this<Requests> {
public:
  explicit Requests(ov::CompiledModel compiled) : compiled_(std::move(compiled)) {}

  std::shared_ptr<ov::InferRequest> take() {
    auto request = std::make_unique<ov::InferRequest>(take_free());
    return {request.release(), [requests = shared_from_this()](ov::InferRequest* done) {
              const std::unique_ptr<ov::InferRequest> owned(done);
              requests->give_back(std::move(*owned));
            }};
  }

private:
  ov::CompiledModel compiled_;
  std::mutex mutex_;
  std::vector<ov::InferRequest> free_;

  // The one that was used last: what it holds is still in the processor's cache.
  ov::InferRequest take_free() {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (free_.empty()) return compiled_.create_infer_request();
    ov::InferRequest request = std::move(free_.back());
    free_.pop_back();
    return request;
  }

  void give_back(ov::InferRequest request) noexcept {
    const std::lock_guard<std::mutex> lock(mutex_);
    try {
      free_.push_back(std::move(request));
    } catch (const std::bad_alloc&) {  // the next run makes another
    }
  }
};

// One compiled model.
class OpenVinoEngine : public Engine {
public:
  OpenVinoEngine(ov::CompiledModel compiled, std::string file)
      : inputs_(names(compiled.inputs())),
        outputs_(names(compiled.outputs())),
        file_(std::move(file)),
        requests_(std::make_shared<Requests>(std::move(compiled))) {}

  Tensors run(const Tensors& feeds) override {
    try {
      const auto request = requests_->take();
      for (const std::string& name : inputs_) {
        const auto found = feeds.find(name);
        if (found == feeds.end()) throw BundleError("the input '" + name + "' is not known");
        const Tensor& tensor = found->second;
        const ov::Shape shape(tensor.shape.begin(), tensor.shape.end());
        request->set_tensor(name, ov::Tensor(to_openvino(tensor.type), shape, tensor.data));
      }
      request->infer();
      Tensors results;
      for (const std::string& name : outputs_) results[name] = keep(request, request->get_tensor(name));
      return results;
    } catch (const std::exception& error) {
      throw BundleError(library() + " cannot run '" + file_ + "': " + error.what());
    }
  }

private:
  std::vector<std::string> inputs_, outputs_;
  std::string file_;
  std::shared_ptr<Requests> requests_;

  // An output is the request's own memory, so passing it to the next engine copies nothing.
  static Tensor keep(const std::shared_ptr<ov::InferRequest>& request, ov::Tensor output) {
    Tensor tensor;
    tensor.type = from_openvino(output.get_element_type());
    const ov::Shape shape = output.get_shape();
    tensor.shape.assign(shape.begin(), shape.end());
    tensor.data = output.data();
    tensor.owner = request;
    return tensor;
  }
};

// Let tensors between engines be bf16, the type that they were computed in.
std::shared_ptr<ov::Model> with_narrow_boundaries(const std::shared_ptr<ov::Model>& model) {
  ov::preprocess::PrePostProcessor conversion(model);
  for (const auto& port : model->inputs()) {
    const std::string name = port.get_any_name();
    if (is_between_engines(name)) conversion.input(name).tensor().set_element_type(ov::element::bf16);
  }
  for (const auto& port : model->outputs()) {
    const std::string name = port.get_any_name();
    if (is_between_engines(name)) conversion.output(name).tensor().set_element_type(ov::element::bf16);
  }
  return conversion.build();
}

// Compiled models that share one Core.
class OpenVinoBackend : public Backend {
public:
  OpenVinoBackend(int threads, const std::string& precision) : threads_(threads), narrow_(precision == "bf16") {
    // Weights in memory of their own: who writes into a mapped file, as `cp` does, kills the process.
    core_.set_property(ov::enable_mmap(false));
    if (narrow_ && !computes_in(ov::device::capability::BF16)) {
      throw InputError("This processor does not compute in bf16. Use --precision fp32.");
    }
    config_ = {
        ov::inference_num_threads(threads_),
        ov::hint::inference_precision(narrow_ ? ov::element::bf16 : ov::element::f32),
        ov::num_streams(1),                  // all threads for one request: latency, as the other backends
        ov::hint::enable_cpu_pinning(false)  // engines of one bundle take turns on the same cores
    };
  }

  const std::string& name() const override { return NAME; }
  int threads() const override { return threads_; }
  // OpenVINO 2026.4 compiles it, and then mixes up memory of its branches: wrong logits.
  bool runs_single() const override { return false; }
  // A child could compile anew, but its own children hang (OpenVINO 2026.4).
  bool survives_fork() const override { return false; }

  std::vector<std::unique_ptr<Engine>> load(const Bundle& bundle, const std::vector<const Graph*>& graphs,
                                            int) override {
    std::vector<std::unique_ptr<Engine>> engines;
    for (const Graph* graph : graphs) engines.push_back(compile(bundle, *graph));
    return engines;
  }

private:
  int threads_;
  bool narrow_;
  ov::Core core_;
  ov::AnyMap config_;

  bool computes_in(const std::string& type) const {
    const auto found = core_.get_property("CPU", ov::device::capabilities);
    return std::find(found.begin(), found.end(), type) != found.end();
  }

  std::unique_ptr<Engine> compile(const Bundle& bundle, const Graph& graph) {
    const std::string path = (bundle.folder() / graph.standard()).string();
    if (graph.symmetric && bundle.model().embedding_size != bundle.model().hidden_size) {
      throw BundleError("OpenVINO (2026.4 at least) gives wrong numbers for '" + path +
                        "': where a product in fp32, here the projection of the embeddings, is both quantised and "
                        "added to something, it quantises another tensor. Use the onnxruntime backend, or export in "
                        "fp32 and compute in bf16.");
    }
    try {
      std::shared_ptr<ov::Model> model = core_.read_model(path);
      const std::shared_ptr<const ov::Model> read = model;
      check_signature(path, graph, names(read->inputs()), names(read->outputs()));
      if (narrow_) model = with_narrow_boundaries(model);
      return std::make_unique<OpenVinoEngine>(core_.compile_model(model, "CPU", config_), path);
    } catch (const BundleError&) {
      throw;
    } catch (const std::exception& error) {
      throw BundleError(library() + " cannot load '" + path + "': " + error.what());
    }
  }
};

}  // namespace

std::unique_ptr<Backend> make_openvino(int threads, const std::string& precision) {
  const int count = thread_count(threads);
  try {
    return std::make_unique<OpenVinoBackend>(count, precision);
  } catch (const InputError&) {
    throw;
  } catch (const std::exception& error) {
    throw InputError("The openvino backend does not load: " + std::string(error.what()));
  }
}

}  // namespace bskim
