// The model of sentencepiece: the split of a word whose tokens have the highest sum of scores.
#include <algorithm>
#include <limits>
#include <nlohmann/json.hpp>

#include "text.hpp"
#include "tokenizer/model.hpp"

namespace bskim::tokenizing {
namespace {

constexpr double kUnknownPenalty = 10;

class Unigram : public Model {
public:
  explicit Unigram(const Part& part) {
    part.only({"type", "unk_id", "vocab", "byte_fallback"});
    part.refuse_true("byte_fallback");
    const Part vocab = part.at("vocab");
    if (!vocab.json().is_array()) vocab.fail("it must be a list. The file is damaged: export the bundle again.");
    double lowest = std::numeric_limits<double>::infinity();
    scores_.reserve(vocab.json().size());
    for (const auto& item : vocab.json()) {
      if (!item.is_array() || item.size() != 2 || !item[0].is_string() || !item[1].is_number()) {
        vocab.fail("number " + std::to_string(scores_.size()) +
                   " is not a text and a score. The file is damaged: export the bundle again.");
      }
      vocabulary_.add(decode_utf8(item[0].get_ref<const std::string&>(), "a token"),
                      static_cast<std::int32_t>(scores_.size()));
      scores_.push_back(item[1].get<double>());
      lowest = std::min(lowest, scores_.back());
    }
    vocabulary_.size = scores_.size();
    unknown_score_ = lowest - kUnknownPenalty;
    if (part.has("unk_id")) {
      unknown_ = static_cast<std::int32_t>(part.at("unk_id").integer(0, static_cast<std::int64_t>(scores_.size()) - 1));
    }
  }

  void tokenize(std::u32string_view word, Workspace& room, std::vector<Piece>& out) const override {
    find_best(word, room.steps);
    // Backwards; what is unknown side by side is one token.
    room.pieces.clear();
    bool fusing = false;
    for (std::size_t end = word.size(); end > 0;) {
      const Workspace::Step& step = room.steps[end];
      const bool unknown = step.id == unknown_;
      if (unknown && fusing) {
        room.pieces.back().begin = static_cast<std::uint32_t>(step.from);
      } else {
        room.pieces.push_back({step.id, static_cast<std::uint32_t>(step.from), static_cast<std::uint32_t>(end)});
      }
      fusing = unknown;
      end = static_cast<std::size_t>(step.from);
    }
    for (auto piece = room.pieces.rbegin(); piece != room.pieces.rend(); ++piece) {
      if (piece->id == unknown_) {
        const std::int32_t known = vocabulary_.trie.find(word.substr(piece->begin, piece->end - piece->begin));
        if (known != Trie::kNone) piece->id = known;
      }
      out.push_back(*piece);
    }
  }

  // What is unknown stands for itself.
  Spaces spaces(const Piece& piece, std::u32string_view word) const override {
    return piece.id == unknown_ ? spaces_of(word.substr(piece.begin, piece.end - piece.begin))
                                : Model::spaces(piece, word);
  }

private:
  // The best way to each place of the word.
  void find_best(std::u32string_view word, std::vector<Workspace::Step>& steps) const {
    steps.assign(word.size() + 1, {0, 0, -1});
    const auto offer = [&](std::size_t from, std::size_t to, double score, std::int32_t id) {
      const double sum = score + steps[from].score;
      if (steps[to].from < 0 || sum > steps[to].score) steps[to] = {sum, id, static_cast<std::int32_t>(from)};
    };
    for (std::size_t from = 0; from < word.size(); ++from) {
      std::int32_t node = Trie::kRoot;
      bool single = false;
      for (std::size_t to = from + 1; to <= word.size(); ++to) {
        node = vocabulary_.trie.child(node, word[to - 1]);
        if (node == Trie::kNone) break;
        const std::int32_t id = vocabulary_.trie.value(node);
        if (id == Trie::kNone) continue;
        offer(from, to, scores_[static_cast<std::size_t>(id)], id);
        if (to == from + 1) single = true;
      }
      if (single) continue;
      // Only a way that is taken needs the token, but so does the library ask for it.
      if (steps[from + 1].from < 0 || unknown_score_ + steps[from].score > steps[from + 1].score) {
        if (unknown_ == Trie::kNone) no_unknown_token();
        offer(from, from + 1, unknown_score_, unknown_);
      }
    }
  }

  std::vector<double> scores_;
  double unknown_score_ = 0;
  std::int32_t unknown_ = Trie::kNone;
};

}  // namespace

std::unique_ptr<Model> read_unigram(const Part& part) {
  return std::make_unique<Unigram>(part);
}

}  // namespace bskim::tokenizing
