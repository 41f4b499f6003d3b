#include "backends/base.hpp"

#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <new>

#include "errors.hpp"
#include "joined.hpp"
#include "runtime/runner.hpp"

namespace bskim {
namespace {

constexpr std::align_val_t ALIGNMENT{64};  // what libraries take without copying
constexpr int THREADS_PER_CORE = 8;        // no library gains from more; thousands would only take memory

void compare(const std::string& path, const char* kind, std::vector<std::string> found,
             std::vector<std::string> expected) {
  std::sort(found.begin(), found.end());
  std::sort(expected.begin(), expected.end());
  if (found == expected) return;
  throw BundleError("'" + path + "' has the " + kind + " " + joined(found) + ", but manifest.json says " +
                    joined(expected) + ": they are not of one export. " + RECOPY);
}

}  // namespace

std::size_t size_of(TensorType type) {
  switch (type) {
    case TensorType::int64:
      return 8;
    case TensorType::boolean:
      return 1;
    case TensorType::float32:
      return 4;
    case TensorType::float16:
    case TensorType::bfloat16:
      return 2;
  }
  return 0;
}

std::size_t Tensor::count() const {
  std::size_t product = 1;
  for (const std::int64_t size : shape) product *= static_cast<std::size_t>(size);
  return product;
}

Tensor Tensor::make(TensorType type, std::vector<std::int64_t> shape) {
  Tensor tensor;
  tensor.type = type;
  tensor.shape = std::move(shape);
  const std::size_t bytes = std::max<std::size_t>(1, tensor.count() * size_of(type));
  tensor.owner = std::shared_ptr<void>(::operator new(bytes, ALIGNMENT),
                                       [](void* memory) { ::operator delete(memory, ALIGNMENT); });
  tensor.data = tensor.owner.get();
  std::memset(tensor.data, 0, bytes);
  return tensor;
}

void check_signature(const std::string& path, const Graph& graph, std::vector<std::string> inputs,
                     std::vector<std::string> outputs) {
  compare(path, "inputs", std::move(inputs), graph.input_names());
  compare(path, "outputs", std::move(outputs), graph.output_names());
}

int thread_count(int threads) {
  if (threads == 0) return available_cores();
  const int most = THREADS_PER_CORE * static_cast<int>(std::max(1L, sysconf(_SC_NPROCESSORS_ONLN)));
  if (threads < 1 || threads > most) {
    throw InputError("threads must be a whole number from 1 to " + std::to_string(most) + " on this machine, got " +
                     std::to_string(threads) + ".");
  }
  return threads;
}

}  // namespace bskim
