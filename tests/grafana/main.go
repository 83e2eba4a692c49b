// Reads dashboards by Grafana's own generated schema: an unknown field, one of another
// type or a missing one is an error, in the dashboard, its panels' options and its queries.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"

	"github.com/grafana/grafana-foundation-sdk/go/cog"
	"github.com/grafana/grafana-foundation-sdk/go/cog/plugins"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
	"github.com/grafana/grafana-foundation-sdk/go/prometheus"
)

// Options of a panel that the schema does not know pass it unread.
var known = map[string]bool{"bargauge": true, "stat": true, "table": true, "text": true, "timeseries": true}

func main() {
	plugins.RegisterDefaultPlugins()
	failed := false
	for _, path := range os.Args[1:] {
		if err := check(path); err != nil {
			fmt.Printf("%s: %v\n", path, err)
			failed = true
		}
	}
	if failed {
		os.Exit(1)
	}
}

func check(path string) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	var strict dashboard.Dashboard
	if err := found(strict.UnmarshalJSONStrict(text)); err != nil {
		return err
	}
	// The strict reader fills little in where it finds nothing wrong: see `found`.
	var read dashboard.Dashboard
	if err := json.Unmarshal(text, &read); err != nil {
		return err
	}
	if err := read.Validate(); err != nil {
		return err
	}
	var raw struct {
		Panels []struct{ FieldConfig json.RawMessage }
	}
	if err := json.Unmarshal(text, &raw); err != nil {
		return err
	}
	if len(read.Panels) == 0 {
		return errors.New("it has no panels")
	}
	for index, either := range read.Panels {
		if either.Panel == nil {
			return fmt.Errorf("panels[%d] is a row: its panels are not looked at", index)
		}
		if err := checkPanel(*either.Panel, raw.Panels[index].FieldConfig); err != nil {
			return fmt.Errorf("panels[%d]: %w", index, err)
		}
	}
	return nil
}

// What the strict reader of dashboards reads less strictly.
func checkPanel(panel dashboard.Panel, fields json.RawMessage) error {
	if !known[panel.Type] {
		return fmt.Errorf("nothing is known of the options of a panel %q", panel.Type)
	}
	for _, target := range panel.Targets {
		if _, ok := target.(*prometheus.Dataquery); !ok {
			return fmt.Errorf("a query is %T, not one of Prometheus", target)
		}
	}
	var config dashboard.FieldConfigSource
	return found(config.UnmarshalJSONStrict(fields))
}

// What a strict reader found to be wrong. An empty list, which it returns too, is no error.
func found(err error) error {
	var all cog.BuildErrors
	if errors.As(err, &all) && len(all) == 0 {
		return nil
	}
	return err
}
