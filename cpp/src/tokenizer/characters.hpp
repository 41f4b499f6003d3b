// What the `tokenizers` library knows of characters. Its parts are built upon several versions of Unicode; each
// function names its own. ICU gives the properties, and the version that a character came with.
#pragma once

#include <array>
#include <cstdint>
#include <string>

namespace bskim::tokenizing {

bool is_space(char32_t c);             // White_Space
bool is_bert_control(char32_t c);      // Unicode 8: Cc, Cf or Co, but not tab, line feed or carriage return
bool is_bert_punctuation(char32_t c);  // Unicode 8: P*, and all ASCII that is neither letter nor digit nor space
bool is_chinese(char32_t c);           // what BERT puts spaces around
bool is_nonspacing_mark(char32_t c);   // Unicode 8: Mn
bool is_combining_mark(char32_t c);    // Unicode 9: M*
bool is_word(char32_t c);              // Unicode 16: \w of a regular expression
bool is_letter(char32_t c);            // Unicode 16: L*
bool is_number(char32_t c);            // Unicode 16: N*

// Lower case of one character by itself, Unicode 17. Returns how many characters that is: 1 or 2.
std::size_t lowercase(char32_t c, std::array<char32_t, 2>& out);

// Normal forms, Unicode 9.
enum class Form { kCanonical, kCompatible };
// Append the full decomposition to `out`.
void decompose(char32_t c, Form form, std::u32string& out);
// 0 if the two do not compose.
char32_t compose(char32_t a, char32_t b);
std::uint8_t combining_class(char32_t c);

// Whether a text may be cut between two characters that follow each other, as extended grapheme clusters are (UAX 29).
class Graphemes {
public:
  // Whether a cluster begins at `c`, which follows what was passed before.
  bool begins(char32_t c);

private:
  int before_ = -1;        // the Grapheme_Cluster_Break of the character before; -1: none
  bool emoji_ = false;     // a pictograph and its extensions precede
  bool joined_ = false;    // ... and a joiner
  bool odd_flag_ = false;  // an odd number of regional indicators precede
};

}  // namespace bskim::tokenizing
