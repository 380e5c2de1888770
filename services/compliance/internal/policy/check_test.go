package policy_test

import (
	"reflect"
	"testing"
	"time"

	"github.com/onlinesms/onlinesms/services/compliance/internal/policy"
)

// TestEveryReasonHasItsCheck: what Evaluate can say belongs to exactly one check; what only operators say to none.
func TestEveryReasonHasItsCheck(t *testing.T) {
	for _, e := range policy.Catalogue() {
		_, ok := policy.CheckOf(e.Reason)
		if e.Severity == "failure" && ok {
			t.Errorf("%s is an operator's, and a check gives it", e.Reason)
		}
	}
	// Every reason of every denial and warning of the property tests.
	for name, deny := range denials {
		f := inOrder(policy.Promotional)
		deny(f)
		d := policy.Evaluate(builtin(t).At(moments[2]), f, moments[2])
		for _, r := range append(d.Reasons, d.Warnings.Reasons()...) {
			check, ok := policy.CheckOf(r.Code)
			if !ok || !d.Checked.Has(check) {
				t.Errorf("%s: %s is of check %s, which was not made", name, r.Code, check)
			}
		}
	}
}

// TestReport: what fails, what could not be looked at, what does not concern the category, what waits.
func TestReport(t *testing.T) {
	pack := builtin(t).At(moments[2])
	standing := func(f *policy.Facts, now time.Time) map[string]policy.Standing {
		d, by := policy.Evaluate(pack, f, now), map[string]policy.Standing{}
		for _, finding := range d.Report() {
			by[finding.Check.String()] = finding.Standing
			if (finding.Standing > policy.Passed) != (len(finding.Reasons) > 0) {
				t.Errorf("%+v", finding)
			}
		}
		return by
	}
	service := standing(inOrder(policy.Service), moments[2])
	for check, want := range map[string]policy.Standing{"text": policy.Passed, "consent": policy.NotEvaluated,
		"preference": policy.NotEvaluated, "time": policy.Passed, "category_rules": policy.Passed} {
		if service[check] != want {
			t.Errorf("service: %s is %d", check, service[check])
		}
	}
	unknown := inOrder(policy.Service)
	unknown.Template.Status, unknown.SeriesUnknown = policy.Unknown, true
	got := standing(unknown, moments[2])
	if got["template"] != policy.Fails || got["text"] != policy.NotEvaluated || got["time"] != policy.NotEvaluated ||
		got["recipient"] != policy.Advises {
		t.Errorf("unknown template: %v", got)
	}
	back := policy.Decision{Outcome: policy.Held, Reasons: []policy.Reason{policy.R("OPERATOR_UNAVAILABLE")}}
	if last := back.Report()[policy.SubmitCheck]; last.Standing != policy.Holds || len(last.Reasons) != 1 {
		t.Errorf("given back by dispatch: %+v", last)
	}
	if got := standing(inOrder(policy.Promotional), moments[3]); got["time"] != policy.Holds || got["preference"] != policy.Passed {
		t.Errorf("promotion at night: %v", got)
	}
}

// TestSameSeesEveryFact: a fact that Same passed over would be recorded as another message's.
func TestSameSeesEveryFact(t *testing.T) {
	alone := map[string]bool{"Text": true, "Expire": true, "Schedule": true} // one message's own
	var walk func(v reflect.Value, path string, f, o *policy.Facts)
	walk = func(v reflect.Value, path string, f, o *policy.Facts) {
		for i := range v.NumField() {
			field, name := v.Field(i), path+v.Type().Field(i).Name
			before := reflect.ValueOf(field.Interface())
			switch at, isTime := field.Interface().(time.Time); {
			case isTime:
				field.Set(reflect.ValueOf(at.Add(time.Hour)))
			case field.Kind() == reflect.Struct:
				walk(field, name+".", f, o)
				continue
			case field.Kind() == reflect.String:
				field.SetString(field.String() + "x")
			case field.Kind() == reflect.Bool:
				field.SetBool(!field.Bool())
			case field.CanUint():
				field.SetUint(field.Uint() + 1)
			case field.CanInt():
				field.SetInt(field.Int() + 1)
			case field.Kind() == reflect.Slice:
				field.Set(reflect.MakeSlice(field.Type(), 1, 1))
			default:
				t.Fatalf("%s is of a kind the test does not know", name)
			}
			if same := f.Same(o); same != alone[name] {
				t.Errorf("%s differs and Same answers %v", name, same)
			}
			field.Set(before)
		}
	}
	f, o := inOrder(policy.Service), inOrder(policy.Service)
	walk(reflect.ValueOf(f).Elem(), "", f, o)
	if !f.Same(o) {
		t.Error("equal facts are not the same")
	}
}
