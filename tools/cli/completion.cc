// drave completion: scripts for shells, made from the command line's own description.

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "tools/cli/context.h"

namespace drave::cli {
namespace {

struct CompletionOptions {
  std::string shell;
};

// A noun or verb: its words ("topic create"), and what may follow.
struct Place {
  std::string path;
  std::vector<std::string> words;    // nouns and verbs below it
  std::vector<std::string> options;  // -x, --long
  bool wants_topic = false;
};

void collect(const CLI::App& app, const std::string& path, std::vector<Place>& places) {
  Place place{.path = path};
  for (const CLI::App* below : app.get_subcommands([](const CLI::App*) { return true; }))
    place.words.push_back(below->get_name());
  for (const CLI::Option* option : app.get_options()) {
    for (const std::string& name : option->get_snames()) place.options.push_back("-" + name);
    for (const std::string& name : option->get_lnames()) place.options.push_back("--" + name);
    if (option->get_positional() && option->get_single_name() == "TOPIC") place.wants_topic = true;
  }
  places.push_back(place);
  for (const CLI::App* below : app.get_subcommands([](const CLI::App*) { return true; }))
    collect(*below, path.empty() ? below->get_name() : path + " " + below->get_name(), places);
}

constexpr const char* kBashHead = R"BASH(_drave() {
  local cur=${COMP_WORDS[COMP_CWORD]} path= next word words= options= topics=
  local i
  for ((i = 1; i < COMP_CWORD; i++)); do
    word=${COMP_WORDS[i]}
    next="${path:+$path }$word"
    case "$next" in
      PATHS) path=$next ;;
    esac
  done
  case "$path" in
)BASH";
constexpr const char* kBashTail = R"BASH(  esac
  if [[ $cur == -* ]]; then
    COMPREPLY=($(compgen -W "$options GLOBAL" -- "$cur"))
  elif [[ -n $topics ]]; then
    COMPREPLY=($(compgen -W "$(drave topic list --names --timeout 1000 2> /dev/null)" -- "$cur"))
  else
    COMPREPLY=($(compgen -W "$words" -- "$cur"))
  fi
}
complete -o default -F _drave drave
)BASH";

std::string replaced(std::string text, const std::string& what, const std::string& with) {
  return text.replace(text.find(what), what.size(), with);
}

std::string bash_script(const std::vector<Place>& places) {
  std::vector<std::string> paths;
  std::string cases;
  for (const Place& place : places) {
    if (!place.path.empty()) paths.push_back(fmt::format("\"{}\"", place.path));
    cases += fmt::format("    \"{}\") words=\"{}\" options=\"{}\"{} ;;\n", place.path,
                         fmt::join(place.words, " "), fmt::join(place.options, " "),
                         place.wants_topic ? " topics=1" : "");
  }
  return replaced(kBashHead, "PATHS", fmt::format("{}", fmt::join(paths, " | "))) + cases +
         replaced(kBashTail, "GLOBAL", fmt::format("{}", fmt::join(places.front().options, " ")));
}

std::string fish_script(const std::vector<Place>& places) {
  std::string script = "complete -c drave -f\n";
  for (const Place& place : places) {
    std::string condition = "__fish_use_subcommand";
    if (!place.path.empty()) {
      condition = "__fish_seen_subcommand_from " + place.path;
      if (const std::size_t space = place.path.find(' '); space != std::string::npos) {
        condition =
            fmt::format("__fish_seen_subcommand_from {}; and __fish_seen_subcommand_from {}",
                        place.path.substr(0, space), place.path.substr(space + 1));
      }
    }
    for (const std::string& word : place.words)
      script += fmt::format("complete -c drave -n '{}' -a '{}'\n", condition, word);
    for (const std::string& option : place.options) {
      if (place.path.empty()) condition = "true";
      script += fmt::format(
          "complete -c drave -n '{}' {}\n", condition,
          option.starts_with("--") ? "-l " + option.substr(2) : "-s " + option.substr(1));
    }
    if (place.wants_topic) {
      script += fmt::format(
          "complete -c drave -n '{}' -a '(drave topic list --names --timeout 1000 2>/dev/null)'\n",
          condition);
    }
  }
  return script;
}

}  // namespace

std::string completion_script(const CLI::App& app, const std::string& shell) {
  std::vector<Place> places;
  collect(app, "", places);
  if (shell == "fish") return fish_script(places);
  const std::string bash = bash_script(places);
  if (shell == "bash") return bash;
  return "#compdef drave\nautoload -U +X bashcompinit && bashcompinit\n" + bash;
}

void add_completion(CLI::App& app, Context& context) {
  CLI::App* verb = app.add_subcommand("completion", "Print a completion script: bash, zsh or fish");
  auto options = std::make_shared<CompletionOptions>();
  verb->add_option("SHELL", options->shell, "bash, zsh or fish")
      ->required()
      ->check(CLI::IsMember({"bash", "zsh", "fish"}));
  verb->footer("For example: source <(drave completion bash)");
  verb->fallthrough();
  verb->callback([&app, &context, options] {
    const std::string script = completion_script(app, options->shell);
    if (context.json()) {
      print_json({{"shell", options->shell}, {"script", script}});
    } else {
      fmt::print("{}", script);
    }
  });
}

}  // namespace drave::cli
