// The protocol of a backend: it loads graphs, and runs them on tensors (bskim_export/backends/base.py).
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "bundle/bundle.hpp"

namespace bskim {

enum class TensorType { int64, boolean, float32, float16, bfloat16 };

std::size_t size_of(TensorType type);

// An array in memory of the host, which all backends here compute in. Copies share it.
struct Tensor {
  TensorType type = TensorType::float32;
  std::vector<std::int64_t> shape;
  void* data = nullptr;
  std::shared_ptr<void> owner;  // keeps `data` alive

  std::size_t count() const;  // of its numbers

  // A new one, filled with zeros.
  static Tensor make(TensorType type, std::vector<std::int64_t> shape);

  template <typename T>
  T* values() {
    return static_cast<T*>(data);
  }
  template <typename T>
  const T* values() const {
    return static_cast<const T*>(data);
  }
};

using Tensors = std::map<std::string, Tensor>;

// One compiled graph. Safe from several threads.
class Engine {
public:
  virtual ~Engine() = default;
  // Run the graph on the tensors that it takes; others are ignored. Throws BundleError if the library fails.
  virtual Tensors run(const Tensors& feeds) = 0;
};

// A library that compiles and runs graphs.
class Backend {
public:
  virtual ~Backend() = default;

  virtual const std::string& name() const = 0;
  virtual int threads() const = 0;         // for one operator
  virtual bool runs_single() const = 0;    // it compiles graphs of which shapes depend on data, as the single graph's
  virtual bool survives_fork() const = 0;  // engines can be made anew in a child of fork

  // Compile graphs of a bundle. Throws BundleError if the library refuses one. `streams` is how many runs there are at
  // once, each with its share of the threads; above 1 only where `runs_single`.
  virtual std::vector<std::unique_ptr<Engine>> load(const Bundle& bundle, const std::vector<const Graph*>& graphs,
                                                    int streams) = 0;
};

// Throws BundleError unless a file has the inputs and outputs that the manifest names; in any order.
void check_signature(const std::string& path, const Graph& graph, std::vector<std::string> inputs,
                     std::vector<std::string> outputs);

// How many threads to use: those asked for, or for 0 the cores that this process may use. Throws InputError: so many
// threads are of no use on this machine.
int thread_count(int threads);

}  // namespace bskim
