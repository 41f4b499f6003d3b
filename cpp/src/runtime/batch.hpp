// The live blocks of a batch, between two stages: where each one is, and what becomes of it
// (bskim_export/runtime/batch.py).
#pragma once

#include <cstddef>
#include <set>
#include <string>
#include <vector>

#include "backends/base.hpp"
#include "blocks.hpp"
#include "runtime/runner.hpp"

namespace bskim {

// N live blocks, packed, each with its window and its place there. What no graph takes is not computed.
class Batch {
public:
  // `wanted`: names of the inputs that the graphs take; `layers`: those that have a predictor. All must outlive this.
  Batch(const std::vector<Task>& tasks, const Model& model, const std::set<std::string>& wanted,
        const std::vector<int>& layers);

  std::size_t live() const { return blocks_.size(); }    // how many blocks are left
  std::size_t scored() const { return scored_.size(); }  // how many of them are judged
  Tensors tokens() const;                                // the model's inputs, int64 [N, block_size] each
  Tensors layout();                                      // the index inputs of the next stage

  // Drop what the policy does not keep, and every block of the windows that may leave and keep nothing. `score`:
  // float32 [P], keep probabilities of the blocks that are judged. Throws BundleError: some are no numbers.
  void drop(int layer, const Tensor& score, const Policy& policy);

  // What became of the windows; with the logits of the live blocks, float32 [N, block_size] each, if they are given.
  // Throws BundleError: some are no numbers.
  std::vector<WindowResult> finish(const Tensors& outputs);
  std::vector<WindowResult> finish();

private:
  struct Block {
    std::size_t window, number;
    bool may_drop;  // a passage block that is not protected
    bool judged;    // one of those, or what a question's last block shares with the passage
  };

  void arrange();
  void put(const std::string& name, const Ints& values, std::vector<std::int64_t> shape);
  void put_grid_tokens();
  void put_questions();
  bool is_token(const Block& block, std::size_t position) const;
  bool is_question(const Block& block, std::size_t position) const;

  const std::vector<Task>& tasks_;
  const std::set<std::string>& wanted_;
  const std::vector<int>& layers_;
  std::size_t size_, heads_;
  std::vector<Block> blocks_;
  std::vector<std::size_t> scored_;   // which of them are judged
  std::vector<std::size_t> initial_;  // of each window, how many judged blocks it began with
  std::vector<WindowResult> results_;
  Grid grid_;
  Tensors steady_, layout_;
};

// Throw BundleError if a value is NaN or infinite: every comparison with it would be false, in silence.
void require_numbers(const float* values, std::size_t count, const std::string& what);

}  // namespace bskim
