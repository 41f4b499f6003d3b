// What bskim-answer prints for people: as bskim-ask does (bskim_export/commands/ask.py), without colours.
#pragma once

#include <string>

#include "bskim/bskim.hpp"

// The passage with each skimmed range in brackets and with its layer, and the answers, in lines of `width` cells.
std::string show(const std::string& question, const std::string& context, const bskim::Answers& found,
                 std::size_t width);
