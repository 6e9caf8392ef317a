#include <algorithm>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "modellib/graph/assemble.h"
#include "modellib/graph/status_macros.h"
#include "modellib/graph/text.h"
#include "modellib/graph/text_literals.h"
#include "modellib/graph/text_scanner.h"

namespace modellib {
namespace {

using text::Scanner;

// Regions within regions; keeps hostile text from using up the stack.
constexpr int kMaxDepth = 32;
constexpr size_t kMaxRank = 64;

// What the graphs of one text share.
struct Shared {
  const OpRegistry& registry;
  const SideData& side_data;
  absl::flat_hash_map<std::string, VariableRef> variables;
};

// Reads one graph; a region's parser stands inside that of the graph around it.
class GraphParser {
 public:
  GraphParser(Scanner& scanner, Shared& shared, GraphParser* parent)
      : scan_(scanner), shared_(shared), parent_(parent), depth_(parent ? parent->depth_ + 1 : 0) {}

  struct Result {
    GraphRef graph;
    std::string entry;
  };
  // From the word "graph" to the closing brace.
  absl::StatusOr<Result> parse() {
    const size_t start = scan_.position();
    MODELLIB_RETURN_IF_ERROR(scan_.expect("graph"));
    if (depth_ > kMaxDepth) return scan_.error_at(start, "regions are nested too deeply");
    MODELLIB_ASSIGN_OR_RETURN(parts_.name, scan_.string());
    Result result{nullptr, parts_.name};
    if (scan_.take("entry")) {
      MODELLIB_ASSIGN_OR_RETURN(result.entry, scan_.string());
    }
    MODELLIB_RETURN_IF_ERROR(scan_.expect("("));
    if (!scan_.take(")")) {
      do {
        MODELLIB_RETURN_IF_ERROR(input());
      } while (scan_.take(","));
      MODELLIB_RETURN_IF_ERROR(scan_.expect(")"));
    }
    MODELLIB_RETURN_IF_ERROR(scan_.expect("{"));
    while (!scan_.take("}")) MODELLIB_RETURN_IF_ERROR(statement());
    absl::StatusOr<GraphRef> graph = assemble(std::move(parts_));
    if (!graph.ok()) {
      return scan_.error_at(start, graph.status().message());
    }
    result.graph = *std::move(graph);
    return result;
  }

 private:
  // A value as it is defined: its identifier or number, and its name.
  struct Definition {
    size_t position;
    std::string key, name;
  };

  absl::StatusOr<Definition> definition() {
    Definition d{scan_.position(), std::string(scan_.numbered()), ""};
    if (!d.key.empty()) return d;
    d.key = std::string(scan_.identifier());
    if (d.key.empty()) return scan_.error("expected the name of a value");
    d.name = d.key;
    if (scan_.peek() == '"') {
      MODELLIB_ASSIGN_OR_RETURN(d.name, scan_.string());
    }
    return d;
  }

  absl::StatusOr<ValueId> define(const Definition& d, Graph::ValueInfo info) {
    const auto id = static_cast<ValueId>(parts_.values.size());
    if (d.key == "_" || !values_.try_emplace(d.key, id).second) {
      return scan_.error_at(d.position, d.key == "_"
                                            ? "'_' stands for an absent operand"
                                            : absl::StrCat("'", d.key, "' is defined twice"));
    }
    parts_.values.push_back(std::move(info));
    return id;
  }

  absl::Status input() {
    MODELLIB_ASSIGN_OR_RETURN(const Definition d, definition());
    MODELLIB_RETURN_IF_ERROR(scan_.expect(":"));
    MODELLIB_ASSIGN_OR_RETURN(TensorType type, this->type());
    MODELLIB_ASSIGN_OR_RETURN(const ValueId id, define(d, {std::move(type), -1, 0, d.name}));
    parts_.inputs.push_back(id);
    return absl::OkStatus();
  }

  absl::Status statement() {
    if (scan_.at_end()) return scan_.error("expected '}': the graph does not end");
    if (scan_.take("dim")) return range();
    if (scan_.take("require")) return constraint();
    if (scan_.take("assign")) return assignment();
    const size_t start = scan_.position();
    if (scan_.take("return")) {
      if (returned_) return scan_.error_at(start, "a second 'return'");
      returned_ = true;
      return outputs();
    }
    // A quoted op without outputs, or definitions.
    if (scan_.peek() == '"') {
      MODELLIB_ASSIGN_OR_RETURN(const std::string op, scan_.string());
      return node({}, {}, start, op);
    }
    std::vector<Definition> outputs;
    std::vector<TensorType> types;
    do {
      MODELLIB_ASSIGN_OR_RETURN(Definition d, definition());
      if (outputs.empty() && scan_.peek() == '(' && d.key == d.name) {
        return node({}, {}, start, d.key);
      }
      TensorType type;
      if (scan_.take(":")) {
        for (auto [word, kind] : {std::pair("var", Variable::Kind::kShared),
                                  std::pair("session", Variable::Kind::kSession),
                                  std::pair("shard", Variable::Kind::kShard)}) {
          if (outputs.empty() && scan_.take(word)) return variable(d, kind);
        }
        MODELLIB_ASSIGN_OR_RETURN(type, this->type());
      }
      outputs.push_back(std::move(d));
      types.push_back(std::move(type));
    } while (scan_.take(","));
    MODELLIB_RETURN_IF_ERROR(scan_.expect("="));
    const size_t at = scan_.position();
    MODELLIB_ASSIGN_OR_RETURN(const std::string op, op_name());
    return node(outputs, types, at, op);
  }

  absl::Status range() {
    const size_t start = scan_.position();
    std::string symbol(scan_.identifier());
    if (symbol.empty()) {
      MODELLIB_ASSIGN_OR_RETURN(symbol, scan_.string());
    }
    MODELLIB_RETURN_IF_ERROR(scan_.expect("in"));
    DimRange range;
    MODELLIB_ASSIGN_OR_RETURN(range.min, scan_.integer());
    MODELLIB_RETURN_IF_ERROR(scan_.expect(".."));
    if (const char c = scan_.peek(); c == '-' || (c >= '0' && c <= '9')) {
      MODELLIB_ASSIGN_OR_RETURN(range.max, scan_.integer());
    }
    if (range.min > range.max) return scan_.error_at(start, "an empty range");
    if (!parts_.ranges.try_emplace(symbol, range).second) {
      return scan_.error_at(start, absl::StrCat("a second range of '", symbol, "'"));
    }
    return absl::OkStatus();
  }

  absl::Status constraint() {
    const size_t start = scan_.position();
    MODELLIB_ASSIGN_OR_RETURN(const absl::string_view left, scan_.raw_until_token("=="));
    MODELLIB_RETURN_IF_ERROR(scan_.expect("=="));
    MODELLIB_ASSIGN_OR_RETURN(const absl::string_view right, scan_.raw_until_token("\""));
    MODELLIB_ASSIGN_OR_RETURN(std::string reason, scan_.string());
    Graph::Constraint c{0, 0, std::move(reason)};
    MODELLIB_ASSIGN_OR_RETURN(c.left, dim(left, start));
    MODELLIB_ASSIGN_OR_RETURN(c.right, dim(right, start));
    if (!(c.left == c.right) && (c.left - c.right).is_static()) {
      return scan_.error_at(start, absl::StrCat(left, " and ", right, " differ"));
    }
    known_constraints_.insert(key(c));
    parts_.constraints.push_back(std::move(c));
    return absl::OkStatus();
  }

  static std::string key(const Graph::Constraint& c) {
    std::string a = c.left.to_string(), b = c.right.to_string();
    if (b < a) std::swap(a, b);
    return absl::StrCat(a, " == ", b);
  }

  // What inference asks for, unless it is said already. As in the builder, that of regions is
  // gathered in the graph around them.
  void infer_constraint(Graph::Constraint c) {
    if (known_constraints_.contains(key(c))) return;
    if (parent_ != nullptr) return parent_->infer_constraint(std::move(c));
    known_constraints_.insert(key(c));
    parts_.constraints.push_back(std::move(c));
  }

  // After the name, colon and kind.
  absl::Status variable(const Definition& d, Variable::Kind kind) {
    if (kind != Variable::Kind::kShared) MODELLIB_RETURN_IF_ERROR(scan_.expect("var"));
    auto v = std::make_shared<Variable>();
    v->kind = kind;
    MODELLIB_ASSIGN_OR_RETURN(v->type, type());
    MODELLIB_ASSIGN_OR_RETURN(v->name, scan_.string());
    const auto [it, inserted] = shared_.variables.try_emplace(v->name, v);
    if (!(*it->second == *v)) {
      return scan_.error_at(
          d.position, absl::StrCat("variable '", v->name, "' is ", to_string(it->second->type), " ",
                                   to_string(it->second->kind), " elsewhere"));
    }
    Graph::VariableUse use{it->second, kNoValue, kNoValue};
    if (!variables_.try_emplace(v->name, parts_.variables.size()).second) {
      return scan_.error_at(d.position, absl::StrCat("variable '", v->name, "' stands twice"));
    }
    if (d.key != "_") {
      MODELLIB_ASSIGN_OR_RETURN(use.value, define(d, {v->type, -1, 0, v->name}));
    }
    parts_.variables.push_back(std::move(use));
    return absl::OkStatus();
  }

  absl::Status assignment() {
    const size_t start = scan_.position();
    MODELLIB_ASSIGN_OR_RETURN(const std::string name, scan_.string());
    MODELLIB_RETURN_IF_ERROR(scan_.expect("="));
    MODELLIB_ASSIGN_OR_RETURN(const ValueId value, operand());
    const auto it = variables_.find(name);
    if (it == variables_.end() || value == kNoValue) {
      return scan_.error_at(start, it == variables_.end()
                                       ? absl::StrCat("no variable ", text::quote(name))
                                       : "an assignment of nothing");
    }
    Graph::VariableUse& use = parts_.variables[it->second];
    if (use.assigned != kNoValue) return scan_.error_at(start, "a second assignment");
    use.assigned = value;
    return absl::OkStatus();
  }

  absl::Status outputs() {
    do {
      MODELLIB_ASSIGN_OR_RETURN(Graph::Output output, this->output());
      parts_.outputs.push_back(std::move(output));
    } while (scan_.take(","));
    return absl::OkStatus();
  }

  // "h", "logits = h", "%0", or a call in place of the value.
  absl::StatusOr<Graph::Output> output() {
    std::string name;
    const size_t start = scan_.position();
    if (scan_.peek() == '"') {
      MODELLIB_ASSIGN_OR_RETURN(name, scan_.string());
      MODELLIB_RETURN_IF_ERROR(scan_.expect("="));
    } else if (name = std::string(scan_.identifier()); !name.empty() && !scan_.take("=")) {
      scan_.rewind(start);
      name.clear();
    }
    const size_t at = scan_.position();
    const std::string standard = absl::StrCat("out", parts_.outputs.size());
    const bool quoted = scan_.peek() == '"';
    std::string word(scan_.numbered());
    if (word.empty() && quoted) {
      MODELLIB_ASSIGN_OR_RETURN(word, scan_.string());
    } else if (word.empty()) {
      word = std::string(scan_.identifier());
    }
    if (quoted || (!word.empty() && scan_.peek() == '(')) {
      const auto value = static_cast<ValueId>(parts_.values.size());
      const Definition unnamed{at, absl::StrCat("%", standard), ""};
      MODELLIB_RETURN_IF_ERROR(node({unnamed}, {TensorType()}, at, word));
      return Graph::Output{at == start ? standard : name, value};
    }
    MODELLIB_ASSIGN_OR_RETURN(const ValueId value, find(word, at));
    return Graph::Output{at != start ? name : word[0] == '%' ? standard : word, value};
  }

  absl::StatusOr<ValueId> find(const std::string& key, size_t position) const {
    const auto it = values_.find(key);
    if (it != values_.end()) return it->second;
    return scan_.error_at(
        position, key.empty() ? "expected a value" : absl::StrCat("'", key, "' is not defined"));
  }

  absl::StatusOr<ValueId> operand() {
    const size_t start = scan_.position();
    std::string key(scan_.numbered());
    if (key.empty()) key = std::string(scan_.identifier());
    if (key == "_") return kNoValue;
    return find(key, start);
  }

  absl::StatusOr<std::string> op_name() {
    if (scan_.peek() == '"') return scan_.string();
    std::string name(scan_.identifier());
    if (name.empty()) return scan_.error("expected the name of an op");
    return name;
  }

  // After the op's name: operands, attributes, scope.
  absl::Status node(const std::vector<Definition>& outputs, const std::vector<TensorType>& types,
                    size_t start, const std::string& op_name) {
    Graph::Node node;
    node.op = shared_.registry.find(op_name);
    if (node.op == nullptr) {
      const absl::Status place =
          scan_.error_at(start, absl::StrCat("no op '", op_name, "' is registered"));
      return absl::UnimplementedError(place.message());
    }
    MODELLIB_RETURN_IF_ERROR(scan_.expect("("));
    if (!scan_.take(")")) {
      do {
        MODELLIB_ASSIGN_OR_RETURN(const ValueId id, operand());
        node.inputs.push_back(id);
      } while (scan_.take(","));
      MODELLIB_RETURN_IF_ERROR(scan_.expect(")"));
    }
    MODELLIB_ASSIGN_OR_RETURN(node.attributes, attributes(*node.op));
    MODELLIB_ASSIGN_OR_RETURN(node.scope, scope());

    std::vector<const TensorType*> operands;
    for (ValueId id : node.inputs) {
      operands.push_back(id == kNoValue ? nullptr : &parts_.values[static_cast<size_t>(id)].type);
    }
    InferenceContext context{operands, node.attributes, {}, {}};
    if (const absl::Status s = infer_types(*node.op, context); !s.ok()) {
      return scan_.locate(start, absl::Status(s.code(), absl::StrCat(op_name, ": ", s.message())));
    }
    if (context.outputs.size() != outputs.size()) {
      return scan_.error_at(start, absl::StrCat(op_name, " has ", context.outputs.size(),
                                                " outputs, ", outputs.size(), " are named"));
    }
    for (Graph::Constraint& c : context.constraints) infer_constraint(std::move(c));
    node.first_output = static_cast<ValueId>(parts_.values.size());
    node.num_outputs = static_cast<int>(outputs.size());
    const auto id = static_cast<NodeId>(parts_.nodes.size());
    for (size_t i = 0; i < outputs.size(); ++i) {
      TensorType& type = context.outputs[i];
      if (types[i].dtype != DType::kInvalid && !(types[i] == type)) {
        return scan_.error_at(outputs[i].position,
                              absl::StrCat("'", outputs[i].key, "' is ", to_string(type), ", not ",
                                           to_string(types[i])));
      }
      MODELLIB_RETURN_IF_ERROR(
          define(outputs[i], {std::move(type), id, static_cast<int>(i), outputs[i].name}).status());
    }
    parts_.nodes.push_back(std::move(node));
    return absl::OkStatus();
  }

  absl::StatusOr<int> scope() {
    const absl::string_view comment = scan_.trailing_comment();
    std::string name(comment);
    if (absl::StartsWith(comment, "\"")) {
      Scanner inner(comment);
      if (absl::StatusOr<std::string> quoted = inner.string(); quoted.ok() && inner.at_end()) {
        name = *std::move(quoted);
      }
    }
    if (name.empty()) return 0;
    const auto [it, inserted] = scopes_.try_emplace(name, static_cast<int>(parts_.scopes.size()));
    if (inserted) parts_.scopes.push_back(std::move(name));
    return it->second;
  }

  absl::StatusOr<Attributes> attributes(const OpDef& op) {
    const size_t before = scan_.mark();  // a comment may follow, which is the scope
    const size_t start = scan_.position();
    AttributeList list;
    if (!scan_.take("{")) {
      scan_.rewind(before);
    } else if (!scan_.take("}")) {
      do {
        std::string name(scan_.identifier());
        if (name.empty()) {
          MODELLIB_ASSIGN_OR_RETURN(name, scan_.string());
        }
        MODELLIB_RETURN_IF_ERROR(scan_.expect(":"));
        MODELLIB_ASSIGN_OR_RETURN(AttributeValue value, attribute());
        list.emplace_back(std::move(name), std::move(value));
      } while (scan_.take(","));
      MODELLIB_RETURN_IF_ERROR(scan_.expect("}"));
    }
    if (op.attributes.parse == nullptr) {
      if (list.empty()) return Attributes();
      return scan_.error_at(start, absl::StrCat(op.name, " has no attributes"));
    }
    absl::StatusOr<Attributes> parsed = op.attributes.parse(list);
    if (!parsed.ok()) {
      return scan_.error_at(start, absl::StrCat(op.name, ": ", parsed.status().message()));
    }
    return parsed;
  }

  absl::StatusOr<AttributeValue> attribute() {
    const size_t start = scan_.position();
    const char c = scan_.peek();
    if (c == '"') return scan_.string();
    if (c == '[') return list();
    if (scan_.take("true")) return AttributeValue(true);
    if (scan_.take("false")) return AttributeValue(false);
    if (scan_.take("no_tensor")) return AttributeValue(Tensor());
    if (scan_.take("no_graph")) return AttributeValue(GraphRef());
    if (scan_.take("invalid")) return AttributeValue(DType::kInvalid);
    const absl::string_view word = scan_.number();
    if (word == "graph") {
      scan_.rewind(start);
      GraphParser region(scan_, shared_, this);
      MODELLIB_ASSIGN_OR_RETURN(Result result, region.parse());
      return AttributeValue(std::move(result.graph));
    }
    if (absl::StatusOr<DType> dtype = parse_dtype(word); dtype.ok()) {
      if (scan_.peek() == '[') return tensor(*dtype);
      return AttributeValue(*dtype);
    }
    int64_t integer;
    if (absl::SimpleAtoi(word, &integer)) return AttributeValue(integer);
    double value;
    if (text::parse_float(word, value)) return AttributeValue(value);
    return scan_.error_at(start, "expected the value of an attribute");
  }

  // Integers, floats, or expressions.
  absl::StatusOr<AttributeValue> list() {
    const size_t start = scan_.position();
    MODELLIB_ASSIGN_OR_RETURN(const std::vector<absl::string_view> items, raw_list());
    std::vector<int64_t> integers;
    std::vector<double> floats;
    Shape expressions;
    for (absl::string_view item : items) {
      int64_t integer;
      double value;
      if (absl::SimpleAtoi(item, &integer)) {
        integers.push_back(integer);
        floats.push_back(static_cast<double>(integer));
      } else if (text::parse_float(item, value)) {
        floats.push_back(value);
      }
    }
    if (integers.size() == items.size()) return AttributeValue(std::move(integers));
    if (floats.size() == items.size()) return AttributeValue(std::move(floats));
    for (absl::string_view item : items) {
      MODELLIB_ASSIGN_OR_RETURN(Dim d, dim(item, start));
      expressions.push_back(std::move(d));
    }
    return AttributeValue(std::move(expressions));
  }

  // What stands between brackets, cut at commas.
  absl::StatusOr<std::vector<absl::string_view>> raw_list() {
    std::vector<absl::string_view> items;
    MODELLIB_RETURN_IF_ERROR(scan_.expect("["));
    if (scan_.take("]")) return items;
    do {
      MODELLIB_ASSIGN_OR_RETURN(const absl::string_view item, scan_.raw_until(",]"));
      items.push_back(item);
    } while (scan_.take(","));
    MODELLIB_RETURN_IF_ERROR(scan_.expect("]"));
    return items;
  }

  absl::StatusOr<Dim> dim(absl::string_view text, size_t position) const {
    absl::StatusOr<Dim> d = parse_dim(text);
    if (!d.ok()) return scan_.locate(position, d.status());
    return d;
  }

  absl::StatusOr<Shape> shape() {
    const size_t start = scan_.position();
    MODELLIB_ASSIGN_OR_RETURN(const std::vector<absl::string_view> items, raw_list());
    if (items.size() > kMaxRank) return scan_.error_at(start, "too many dimensions");
    Shape shape;
    for (absl::string_view item : items) {
      MODELLIB_ASSIGN_OR_RETURN(Dim d, dim(item, start));
      shape.push_back(std::move(d));
    }
    const absl::Status sound = check_shape(shape);
    if (!sound.ok()) return scan_.error_at(start, sound.message());
    return shape;
  }

  absl::StatusOr<TensorType> type() {
    const size_t start = scan_.position();
    absl::StatusOr<DType> dtype = parse_dtype(scan_.identifier());
    if (!dtype.ok() || *dtype == DType::kInvalid) {
      return scan_.error_at(start, "expected a type such as f32[batch,784]");
    }
    MODELLIB_ASSIGN_OR_RETURN(Shape shape, this->shape());
    return TensorType{*dtype, std::move(shape)};
  }

  // After the element type.
  absl::StatusOr<AttributeValue> tensor(DType dtype) {
    const size_t start = scan_.position();
    MODELLIB_ASSIGN_OR_RETURN(const Shape shape, this->shape());
    absl::StatusOr<std::vector<int64_t>> extents = static_extents(shape);
    if (!extents.ok()) return scan_.error_at(start, extents.status().message());
    const size_t content = scan_.position();
    if (scan_.take("@")) {
      uint64_t hash;
      const Tensor* found = nullptr;
      if (absl::SimpleHexAtoi(scan_.number(), &hash)) found = shared_.side_data.find(hash);
      if (found == nullptr) {
        return scan_.locate(content, absl::NotFoundError("the tensor is not in the side data"));
      }
      if (found->dtype() != dtype || found->shape() != *extents) {
        return scan_.error_at(start, "the tensor in the side data is of another type");
      }
      return AttributeValue(*found);
    }
    const absl::StatusOr<int64_t> count = checked_elements(dtype, *extents);
    if (!count.ok()) return scan_.error_at(start, count.status().message());
    MODELLIB_ASSIGN_OR_RETURN(const std::vector<absl::string_view> items, raw_list());
    if (static_cast<int64_t>(items.size()) != *count) {
      return scan_.error_at(content,
                            absl::StrCat("expected ", *count, " elements, found ", items.size()));
    }
    MODELLIB_ASSIGN_OR_RETURN(Tensor t, Tensor::zeros(dtype, *extents));
    for (size_t i = 0; i < items.size(); ++i) {
      if (!text::parse_element(items[i], t, static_cast<int64_t>(i))) {
        return scan_.error_at(content, absl::StrCat("element ", i, ", ", text::quote(items[i]),
                                                    ", is no ", to_string(dtype)));
      }
    }
    return AttributeValue(std::move(t));
  }

  Scanner& scan_;
  Shared& shared_;
  GraphParser* parent_;
  int depth_;
  GraphParts parts_;
  bool returned_ = false;
  absl::flat_hash_map<std::string, ValueId> values_;
  absl::flat_hash_map<std::string, size_t> variables_;
  absl::flat_hash_map<std::string, int> scopes_;
  absl::flat_hash_set<std::string> known_constraints_;
};

}  // namespace

absl::StatusOr<GraphRef> parse_graph(absl::string_view text, const OpRegistry& registry,
                                     const SideData& side_data) {
  MODELLIB_ASSIGN_OR_RETURN(Program program, parse_program(text, registry, side_data));
  if (program.entries.size() != 1) {
    return absl::InvalidArgumentError(
        absl::StrCat("expected one graph, found ", program.entries.size()));
  }
  return std::move(program.entries[0].graph);
}

absl::StatusOr<Program> parse_program(absl::string_view text, const OpRegistry& registry,
                                      const SideData& side_data) {
  Scanner scanner(text);
  Shared shared{registry, side_data, {}};
  Program program;
  do {
    GraphParser parser(scanner, shared, nullptr);
    MODELLIB_ASSIGN_OR_RETURN(auto result, parser.parse());
    program.entries.push_back({std::move(result.entry), std::move(result.graph)});
  } while (!scanner.at_end());
  MODELLIB_RETURN_IF_ERROR(program.verify());
  return program;
}

}  // namespace modellib
