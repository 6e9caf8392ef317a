// A plugin for clang-tidy that lets it run on files with a precompiled header, in a third of the
// time.
#include <clang-tidy/ClangTidyCheck.h>
#include <clang-tidy/ClangTidyModule.h>
#include <clang-tidy/ClangTidyModuleRegistry.h>
#include <clang/AST/ASTContext.h>
#include <clang/ASTMatchers/ASTMatchFinder.h>
#include <clang/Basic/SourceManager.h>
#include <llvm/ADT/SmallString.h>
#include <llvm/ADT/StringMap.h>
#include <llvm/ADT/StringSet.h>
#include <llvm/Support/FileSystem.h>

#include <cstdlib>
#include <fstream>
#include <string>
#include <vector>

namespace modellib::lint {
namespace {

using clang::ast_matchers::MatchFinder;

// The checks look at our code alone, not at what Abseil, gtest and the standard library bring
// along, which takes two thirds of the time and yields nothing that is shown.
//
// Checks match on the tree from its root. This one matches the root itself, before what is below
// it, and narrows what the walk goes on with. What a precompiled header holds is not even loaded.
class OwnCode : public clang::tidy::ClangTidyCheck {
 public:
  using ClangTidyCheck::ClangTidyCheck;

  void registerMatchers(MatchFinder* finder) override {
    finder->addMatcher(clang::ast_matchers::translationUnitDecl(), this);
  }

  void check(const MatchFinder::MatchResult& result) override {
    std::vector<clang::Decl*> own;
    for (clang::Decl* decl : result.Context->getTranslationUnitDecl()->noload_decls()) {
      if (!result.SourceManager->isInSystemHeader(decl->getLocation())) own.push_back(decl);
    }
    result.Context->setTraversalScope(own);
  }
};

// A file includes whatever it uses, at least through other headers: it must not lean on the
// precompiled header, which has more. LINT_INCLUDED names a file with what the compiler's -M prints
// of the file without the precompiled header; where it is not set there is nothing to check.
class Includes : public clang::tidy::ClangTidyCheck {
 public:
  Includes(llvm::StringRef name, clang::tidy::ClangTidyContext* context)
      : ClangTidyCheck(name, context) {
    const char* list = std::getenv("LINT_INCLUDED");
    if (list == nullptr) return;
    std::ifstream file(list);
    for (std::string path; file >> path;) included_.insert(real_path(path));
  }

  void registerMatchers(MatchFinder* finder) override {
    using namespace clang::ast_matchers;  // NOLINT(google-build-using-namespace): as all matchers
                                          // are written
    if (included_.empty()) return;
    finder->addMatcher(declRefExpr(to(namedDecl().bind("name"))).bind("expression"), this);
    finder->addMatcher(
        typeLoc(loc(qualType(hasDeclaration(namedDecl().bind("name"))))).bind("type"), this);
  }

  void check(const MatchFinder::MatchResult& result) override {
    const auto* name = result.Nodes.getNodeAs<clang::NamedDecl>("name");
    if (name->getIdentifier() != nullptr && name->getName().startswith("__builtin_"))
      return;  // which the compiler declares at the first use
    std::string missing;
    for (const clang::Decl* declared : name->redecls()) {
      missing = precompiled_only(declared->getLocation(), *result.SourceManager);
      if (missing.empty()) return;
    }
    if (!reported_.insert(missing).second) return;
    const auto* expression = result.Nodes.getNodeAs<clang::DeclRefExpr>("expression");
    const clang::SourceLocation place =
        expression != nullptr ? expression->getBeginLoc()
                              : result.Nodes.getNodeAs<clang::TypeLoc>("type")->getBeginLoc();
    diag(place, "%0 is declared in '%1', which only the precompiled header includes")
        << name << missing;
  }

 private:
  static std::string real_path(llvm::StringRef path) {
    llvm::SmallString<256> real;
    return llvm::sys::fs::real_path(path, real) ? path.str() : real.str().str();
  }

  // The file of a place that only the precompiled header includes; else nothing.
  std::string precompiled_only(clang::SourceLocation place, const clang::SourceManager& sources) {
    place = sources.getExpansionLoc(place);
    if (place.isInvalid() || !sources.isLoadedSourceLocation(place)) return "";
    const llvm::StringRef path = sources.getFilename(place);
    if (path.empty()) return "";
    const auto [known, is_new] = real_paths_.try_emplace(path);
    if (is_new) known->second = real_path(path);
    return included_.contains(known->second) ? "" : known->second;
  }

  llvm::StringSet<> included_;
  llvm::StringSet<> reported_;
  llvm::StringMap<std::string> real_paths_;
};

class Module : public clang::tidy::ClangTidyModule {
 public:
  void addCheckFactories(clang::tidy::ClangTidyCheckFactories& factories) override {
    factories.registerCheck<Includes>("modellib-includes");
    factories.registerCheck<OwnCode>("modellib-own-code");
  }
};

const clang::tidy::ClangTidyModuleRegistry::Add<Module> registration("modellib", "");

}  // namespace
}  // namespace modellib::lint
