// Questions and answers as JSON.
#pragma once

#include <string>

#include "bskim/bskim.hpp"

// The report of one question, as bskim-ask --json writes it.
std::string report(const std::string& question, const bskim::Answers& found);

// Answer one line of JSON, in one line: {"question", "context"} or {"question", "passages"}, or {"questions":
// [{"question", "context"}, ...]}, each with any options of AskOptions. What goes wrong is {"error", "kind"}.
std::string answer_line(const bskim::Pipeline& pipeline, const std::string& line, const bskim::AskOptions& defaults);
