#include "backends/onnxruntime.hpp"

#include <onnxruntime_cxx_api.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>

#include "bundle/checks.hpp"
#include "errors.hpp"

namespace bskim {
namespace {

const std::string NAME = "onnxruntime";

std::string library() {
  return "ONNX Runtime " + std::string(OrtGetApiBase()->GetVersionString());
}

// ONNX Runtime has one environment per process. It is shared by all that hold it, and made at the first use.
std::shared_ptr<Ort::Env> environment() {
  // Nothing is sent to anybody unless ORT_DISABLE_TELEMETRY is set to 0. It is read when the environment is made.
  ::setenv("ORT_DISABLE_TELEMETRY", "1", 0);
  static const auto shared = std::make_shared<Ort::Env>(ORT_LOGGING_LEVEL_ERROR, "bskim");
  return shared;
}

// Whether the library that is loaded knows the operators of the graphs of one window. Others run the stages.
bool knows_single() {
  int major = 0, minor = 0;
  std::sscanf(OrtGetApiBase()->GetVersionString(), "%d.%d", &major, &minor);
  return major > 1 || minor >= 24;
}

ONNXTensorElementDataType to_ort(TensorType type) {
  switch (type) {
    case TensorType::int64:
      return ONNX_TENSOR_ELEMENT_DATA_TYPE_INT64;
    case TensorType::boolean:
      return ONNX_TENSOR_ELEMENT_DATA_TYPE_BOOL;
    case TensorType::float32:
      return ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT;
    case TensorType::float16:
      return ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT16;
    case TensorType::bfloat16:
      return ONNX_TENSOR_ELEMENT_DATA_TYPE_BFLOAT16;
  }
  return ONNX_TENSOR_ELEMENT_DATA_TYPE_UNDEFINED;
}

TensorType from_ort(ONNXTensorElementDataType type) {
  for (const TensorType one :
       {TensorType::int64, TensorType::boolean, TensorType::float32, TensorType::float16, TensorType::bfloat16}) {
    if (to_ort(one) == type) return one;
  }
  throw BundleError("an output is of a type that no graph of a bundle has");
}

// One session. Its outputs stay where it put them, so that passing them to the next engine copies nothing.
class OnnxRuntimeEngine : public Engine {
public:
  OnnxRuntimeEngine(std::shared_ptr<Ort::Env> environment, Ort::Session session, std::string file)
      : environment_(std::move(environment)),
        session_(std::move(session)),
        file_(std::move(file)),
        inputs_(names(session_.GetInputCount(), &Ort::Session::GetInputNameAllocated)),
        outputs_(names(session_.GetOutputCount(), &Ort::Session::GetOutputNameAllocated)) {}

  const std::vector<std::string>& inputs() const { return inputs_; }
  const std::vector<std::string>& outputs() const { return outputs_; }

  Tensors run(const Tensors& feeds) override {
    try {
      const auto memory = Ort::MemoryInfo::CreateCpu(OrtDeviceAllocator, OrtMemTypeCPU);
      std::vector<const char*> inputs, outputs;
      std::vector<Ort::Value> values;
      for (const std::string& name : inputs_) {
        const auto found = feeds.find(name);
        if (found == feeds.end()) throw BundleError("the input '" + name + "' is not known");
        const Tensor& tensor = found->second;
        inputs.push_back(name.c_str());
        values.push_back(Ort::Value::CreateTensor(memory, tensor.data, tensor.count() * size_of(tensor.type),
                                                  tensor.shape.data(), tensor.shape.size(), to_ort(tensor.type)));
      }
      for (const std::string& name : outputs_) outputs.push_back(name.c_str());
      auto results = session_.Run(Ort::RunOptions{nullptr}, inputs.data(), values.data(), values.size(), outputs.data(),
                                  outputs.size());
      Tensors found;
      for (std::size_t i = 0; i < results.size(); ++i) found[outputs_[i]] = keep(std::move(results[i]));
      return found;
    } catch (const std::exception& error) {
      throw BundleError(library() + " cannot run '" + file_ + "': " + error.what());
    }
  }

private:
  std::shared_ptr<Ort::Env> environment_;  // before the session, which needs it until it is gone
  Ort::Session session_;
  std::string file_;
  std::vector<std::string> inputs_, outputs_;

  using Name = Ort::AllocatedStringPtr (Ort::Session::*)(std::size_t, OrtAllocator*) const;
  std::vector<std::string> names(std::size_t count, Name name) const {
    Ort::AllocatorWithDefaultOptions allocator;
    std::vector<std::string> found;
    for (std::size_t i = 0; i < count; ++i) found.emplace_back((session_.*name)(i, allocator).get());
    return found;
  }

  static Tensor keep(Ort::Value value) {
    auto kept = std::make_shared<Ort::Value>(std::move(value));
    const auto info = kept->GetTensorTypeAndShapeInfo();
    Tensor tensor;
    tensor.type = from_ort(info.GetElementType());
    tensor.shape = info.GetShape();
    tensor.data = kept->GetTensorMutableRawData();
    tensor.owner = std::move(kept);
    return tensor;
  }
};

// Sessions, each with a thread pool of its own: nothing that other sessions of the process share is set.
class OnnxRuntimeBackend : public Backend {
public:
  explicit OnnxRuntimeBackend(int threads) : environment_(environment()), threads_(threads) {}

  const std::string& name() const override { return NAME; }
  int threads() const override { return threads_; }
  bool runs_single() const override { return knows_single(); }
  bool survives_fork() const override { return true; }

  std::vector<std::unique_ptr<Engine>> load(const Bundle& bundle, const std::vector<const Graph*>& graphs,
                                            int streams) override {
    // Graphs and weights are read, checked against the manifest's hashes, and handed over in memory: what was checked
    // is what runs, whatever happens to the files afterwards. Sessions keep copies of their own.
    const std::shared_ptr<const Content> weights = bundle.read_weights();
    std::vector<std::unique_ptr<Engine>> engines;
    for (const Graph* graph : graphs) engines.push_back(compile(bundle, *graph, *weights, streams));
    return engines;
  }

private:
  std::shared_ptr<Ort::Env> environment_;
  int threads_;

  std::unique_ptr<Engine> compile(const Bundle& bundle, const Graph& graph, const Content& weights, int streams) const {
    const std::string path = (bundle.folder() / graph.file).string();
    const std::string content = bundle.read(graph.file);
    const auto alone = bundle.manifest().graphs_alone();
    const bool is_alone =
        std::any_of(alone.begin(), alone.end(), [&](const Graph* one) { return one->file == graph.file; });
    try {
      const auto options = make_options(weights, std::max(1, threads_ / streams), is_alone);
      Ort::Session session(*environment_, content.data(), content.size(), options);
      auto engine = std::make_unique<OnnxRuntimeEngine>(environment_, std::move(session), path);
      check_signature(path, graph, engine->inputs(), engine->outputs());
      return engine;
    } catch (const BundleError&) {
      throw;
    } catch (const std::exception& error) {
      throw BundleError(library() + " cannot load '" + path + "': " + error.what());
    }
  }

  // The arena keeps the memory of the largest run for the next. That of one window is little, and to ask the system for
  // it again and again takes a twentieth of the time; that of a batch is much.
  static Ort::SessionOptions make_options(const Content& weights, int threads, bool arena) {
    Ort::SessionOptions options;
    options.SetIntraOpNumThreads(threads);
    options.SetLogSeverityLevel(ORT_LOGGING_LEVEL_ERROR);
    if (arena) {
      options.EnableCpuMemArena();
    } else {
      options.DisableCpuMemArena();
    }
    // A bundle's sessions take turns: a pool that spins after its turn takes the core of the next one.
    options.AddConfigEntry("session.intra_op.allow_spinning", "0");
    const std::string file = WEIGHTS;
    options.AddExternalInitializersFromFilesInMemory({file.substr(file.rfind('/') + 1)},
                                                     {const_cast<char*>(weights.data())},  // it only reads them
                                                     {weights.size()});
    return options;
  }
};

}  // namespace

std::unique_ptr<Backend> make_onnxruntime(int threads) {
  const int count = thread_count(threads);
  if (OrtGetApiBase()->GetApi(ORT_API_VERSION) == nullptr) {
    throw InputError(library() + " is older than this build needs: version 1." + std::to_string(ORT_API_VERSION) +
                     " or later.");
  }
  try {
    return std::make_unique<OnnxRuntimeBackend>(count);
  } catch (const std::exception& error) {
    throw InputError("The onnxruntime backend does not load: " + std::string(error.what()));
  }
}

}  // namespace bskim
