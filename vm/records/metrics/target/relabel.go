package target

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp/syntax"
	"slices"
	"strings"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/relabel"
)

// Bounds of relabelings, which users of the cluster write.
const (
	maxRules        = 100 // of a monitor
	maxRuleText     = 1024
	maxExpression   = 2000 // instructions and characters of a compiled expression
	maxSourceLabels = 20
	// maxLabels bounds the labels while rules are applied, which include meta labels, and
	// maxSeriesLabels those of a series that is stored.
	maxLabels, maxSeriesLabels = 500, 80
)

// Work bounds the cost of relabelings: it is about the number of steps of the regular
// expressions that are left, of which each takes some nanoseconds.
type Work int

const (
	// answerWork is the Work for the series of an answer that are new.
	answerWork Work = 50e6
	// monitorsWork is the Work for the targets of all monitors, monitorWork for one.
	monitorsWork, monitorWork Work = 100e6, 20e6
	// ruleWork is spent on each rule.
	ruleWork = 200
)

// NewWork returns the Work for an answer.
func NewWork() *Work { w := answerWork; return &w }

var errWork = errors.New("its relabelings need too much time")

func (w *Work) spend(n int) error {
	if *w -= Work(n); *w < 0 {
		return errWork
	}
	return nil
}

// Rules are the relabelings of an endpoint, in their order.
type Rules []rule

// rule is a relabeling. size is that of its compiled expression, and text identifies it.
type rule struct {
	relabel.Config
	size int
	text string
}

// ruleSpec is a RelabelConfig of the Prometheus operator.
type ruleSpec struct {
	SourceLabels []string `json:"sourceLabels"`
	Separator    *string  `json:"separator"`
	TargetLabel  string   `json:"targetLabel"`
	Regex        string   `json:"regex"`
	Modulus      uint64   `json:"modulus"`
	Replacement  *string  `json:"replacement"`
	Action       string   `json:"action"`
}

// parseRules reads the relabelings of an endpoint. field is where they stand.
func parseRules(field string, specs []ruleSpec) (Rules, error) {
	if len(specs) > maxRules {
		return nil, fmt.Errorf("it has more than %d %s", maxRules, field)
	}
	var all Rules
	for i, spec := range specs {
		parsed, err := parseRule(spec)
		if err != nil {
			return nil, fmt.Errorf("%s %d: %w", field, i, err)
		}
		all = append(all, parsed)
	}
	return all, nil
}

func parseRule(spec ruleSpec) (rule, error) {
	text, err := json.Marshal(spec)
	if err != nil {
		return rule{}, err
	}
	r := rule{Config: relabel.DefaultRelabelConfig, text: string(text)}
	switch {
	case len(text) > 2*maxRuleText || len(spec.Regex) > maxRuleText:
		return r, fmt.Errorf("it has more than %d bytes", maxRuleText)
	case len(spec.SourceLabels) > maxSourceLabels:
		return r, fmt.Errorf("it has more than %d sourceLabels", maxSourceLabels)
	}
	if spec.Action != "" {
		r.Action = relabel.Action(strings.ToLower(spec.Action))
	}
	if !slices.Contains(actions, r.Action) {
		return r, fmt.Errorf("its action is %.20q", spec.Action)
	}
	for _, name := range spec.SourceLabels {
		r.SourceLabels = append(r.SourceLabels, model.LabelName(name))
	}
	r.TargetLabel, r.Modulus = spec.TargetLabel, spec.Modulus
	if spec.Separator != nil {
		r.Separator = *spec.Separator
	}
	if spec.Replacement != nil {
		r.Replacement = *spec.Replacement
	}
	if r.size, err = expressionSize(spec.Regex); err != nil {
		return r, err
	}
	if spec.Regex != "" { // the default must stay the same value
		if r.Regex, err = relabel.NewRegexp(spec.Regex); err != nil {
			return r, fmt.Errorf("its regex is invalid: %w", err)
		}
	}
	return r, r.Validate(model.UTF8Validation)
}

// actions are those that the library knows; it panics if it is given others.
var actions = []relabel.Action{
	relabel.Replace, relabel.Keep, relabel.Drop, relabel.KeepEqual, relabel.DropEqual, relabel.HashMod, relabel.LabelMap,
	relabel.LabelDrop, relabel.LabelKeep, relabel.Lowercase, relabel.Uppercase,
}

// expressionSize returns the size of a compiled regular expression. A short text can
// become a large one.
func expressionSize(text string) (int, error) {
	parsed, err := syntax.Parse(text, syntax.Perl)
	if err != nil {
		return 0, fmt.Errorf("its regex is invalid: %w", err)
	}
	program, err := syntax.Compile(parsed.Simplify())
	if err != nil {
		return 0, fmt.Errorf("its regex is invalid: %w", err)
	}
	size := len(program.Inst)
	for _, instruction := range program.Inst {
		size += len(instruction.Rune)
	}
	if size > maxExpression {
		return 0, errors.New("its regex is too complex")
	}
	return size, nil
}

// apply changes labels by the rules. keep is false if one of them drops what has the labels.
func (r Rules) apply(b *labels.Builder, work *Work) (keep bool, err error) {
	for i := range r {
		if err := work.spend(ruleWork + r[i].size*r[i].reads(b)); err != nil {
			return false, err
		}
		if !relabel.ProcessBuilder(b, &r[i].Config) {
			return false, nil
		}
		if err := checkLabels(b, maxLabels); err != nil {
			return false, err
		}
	}
	return true, nil
}

// reads returns how many bytes a rule matches its expression with.
func (r *rule) reads(b *labels.Builder) (n int) {
	switch r.Action {
	case relabel.LabelMap, relabel.LabelDrop, relabel.LabelKeep:
		b.Range(func(l labels.Label) { n += len(l.Name) + 1 })
	default:
		for _, name := range r.SourceLabels {
			n += len(b.Get(string(name))) + len(r.Separator) + 1
		}
	}
	return n
}

// checkLabels returns an error for labels that are too many or too long.
func checkLabels(b *labels.Builder, most int) error {
	count, longest := 0, 0
	b.Range(func(l labels.Label) { count, longest = count+1, max(longest, len(l.Name), len(l.Value)) })
	switch {
	case count > most:
		return fmt.Errorf("its relabelings make more than %d labels", most)
	case longest > podLabelBytes:
		return fmt.Errorf("its relabelings make a label of more than %d bytes", podLabelBytes)
	}
	return nil
}

// identity are the labels that say where a series comes from. They decide who may read it,
// so relabelings do not change them.
var identity = []string{"namespace", "pod", "node"}

// restore sets the labels of identity, and reports whether one of them was different.
func restore(b *labels.Builder, from labels.Labels) (changed bool) {
	for _, name := range identity {
		changed = changed || b.Get(name) != from.Get(name)
		b.Set(name, from.Get(name)) // an empty value removes the label
	}
	return changed
}

// Relabel returns the labels with which a series of the target is stored, given its own
// and those of the target. keep is false if it is not stored.
func (t Target) Relabel(l labels.Labels, work *Work) (relabelled labels.Labels, keep bool, err error) {
	if len(t.Rules) == 0 {
		return l, true, nil
	}
	b := labels.NewBuilder(l)
	if keep, err = t.Rules.apply(b, work); !keep || err != nil {
		return l, false, err
	}
	restore(b, t.Labels)
	removeReserved(b)
	if b.Get(model.MetricNameLabel) == "" {
		return l, false, errors.New("its relabelings remove the name of a metric")
	}
	return b.Labels(), true, checkLabels(b, maxSeriesLabels)
}

// removeReserved removes the labels that exist only for relabelings.
func removeReserved(b *labels.Builder) {
	b.Range(func(l labels.Label) {
		if strings.HasPrefix(l.Name, model.ReservedLabelPrefix) && l.Name != model.MetricNameLabel {
			b.Del(l.Name)
		}
	})
}

// text identifies rules.
func (r Rules) text() string {
	var all strings.Builder
	for _, one := range r {
		all.WriteString(one.text)
	}
	return all.String()
}
