// Command names prints the names of the conformance tests that upstream's list has, one a
// line, in the order of the list.
package main

import (
	"fmt"
	"os"

	"sigs.k8s.io/yaml"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "names:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) != 1 {
		return fmt.Errorf("usage: names FILE")
	}
	content, err := os.ReadFile(args[0])
	if err != nil {
		return err
	}
	var tests []struct {
		Codename string `json:"codename"`
	}
	if err := yaml.Unmarshal(content, &tests); err != nil {
		return fmt.Errorf("read %s: %w", args[0], err)
	}
	for _, test := range tests {
		fmt.Println(test.Codename)
	}
	return nil
}
