package kube

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/skiff-dev/skiff/tui/object"
)

// acceptTable asks for the server's own columns.
const acceptTable = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"

// maxPage bounds one answer to a list, in bytes.
const maxPage = 256 << 20

// maxCell bounds one cell, in bytes.
const maxCell = 1024

// wireTable is what is read of a metav1.Table, or of the metav1.Status that
// stands in its place.
type wireTable struct {
	Kind     string `json:"kind"`
	Metadata struct {
		ResourceVersion string `json:"resourceVersion"`
		Continue        string `json:"continue"`
	} `json:"metadata"`
	ColumnDefinitions []struct {
		Name     string `json:"name"`
		Priority int    `json:"priority"`
	} `json:"columnDefinitions"`
	Rows []wireRow `json:"rows"`
	// Of a Status.
	Message string `json:"message"`
	Reason  string `json:"reason"`
	Code    int    `json:"code"`
}

type wireRow struct {
	Cells  []any `json:"cells"`
	Object struct {
		Metadata struct {
			Name              string            `json:"name"`
			Namespace         string            `json:"namespace"`
			UID               string            `json:"uid"`
			ResourceVersion   string            `json:"resourceVersion"`
			Labels            map[string]string `json:"labels"`
			CreationTimestamp time.Time         `json:"creationTimestamp"`
			DeletionTimestamp *time.Time        `json:"deletionTimestamp"`
			OwnerReferences   []struct {
				UID        string `json:"uid"`
				Controller bool   `json:"controller"`
			} `json:"ownerReferences"`
		} `json:"metadata"`
		// Of nodes alone, which are asked for whole.
		Spec struct {
			Taints []struct {
				Key    string `json:"key"`
				Value  string `json:"value"`
				Effect string `json:"effect"`
			} `json:"taints"`
		} `json:"spec"`
		Status wireStatus `json:"status"`
	} `json:"object"`
}

type wireStatus struct {
	Conditions []struct {
		Type    string `json:"type"`
		Status  string `json:"status"`
		Reason  string `json:"reason"`
		Message string `json:"message"`
	} `json:"conditions"`
}

// wireEvent is one event of a watch.
type wireEvent struct {
	Type   string    `json:"type"`
	Object wireTable `json:"object"`
}

// errNoTable: the server answered with something else.
var errNoTable = errors.New("the server did not send a table")

// decodeTable reads one answer to a list.
func decodeTable(in io.Reader) (wireTable, error) {
	var t wireTable
	if err := json.NewDecoder(io.LimitReader(in, maxPage)).Decode(&t); err != nil {
		return t, fmt.Errorf("read the server's table: %w", err)
	}
	if t.Kind != "Table" {
		return t, errNoTable
	}
	return t, nil
}

func (t wireTable) columns() []object.Column {
	columns := make([]object.Column, len(t.ColumnDefinitions))
	for i, d := range t.ColumnDefinitions {
		columns[i] = object.Column{Name: line(d.Name), Wide: d.Priority > 0}
	}
	return columns
}

func (w *wireRow) row(cluster string, now time.Time) *object.Row {
	m := w.Object.Metadata
	r := &object.Row{
		Cluster: cluster, Namespace: m.Namespace, Name: m.Name, UID: m.UID, Labels: m.Labels,
		Created: m.CreationTimestamp, Deleting: m.DeletionTimestamp != nil, Read: now,
		Cells: make([]string, len(w.Cells)),
	}
	for _, o := range m.OwnerReferences {
		if o.Controller || r.Owner == "" {
			r.Owner = o.UID
		}
	}
	for _, t := range w.Object.Spec.Taints {
		text := line(t.Key)
		if t.Value != "" {
			text += "=" + line(t.Value)
		}
		r.Taints = append(r.Taints, text+":"+line(t.Effect))
	}
	for _, c := range w.Object.Status.Conditions {
		r.Conditions = append(r.Conditions, object.Condition{Type: line(c.Type), Status: line(c.Status), Reason: line(c.Reason), Message: line(c.Message)})
	}
	for i, cell := range w.Cells {
		r.Cells[i] = cellText(cell)
	}
	return r
}

// cellText is a cell of a table as text, one line without control characters:
// it comes from objects that anyone may have written.
func cellText(cell any) string {
	switch v := cell.(type) {
	case nil:
		return ""
	case string:
		return line(v)
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64)
	case bool:
		return strconv.FormatBool(v)
	}
	encoded, err := json.Marshal(cell)
	if err != nil {
		return ""
	}
	return line(string(encoded))
}

func line(text string) string {
	if len(text) > maxCell {
		text = text[:maxCell] + "…"
	}
	clean := true
	for i := range len(text) {
		if text[i] < ' ' || text[i] >= 0x7f {
			clean = false
			break
		}
	}
	if clean {
		return text
	}
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t' || r == '\r':
			return ' '
		case r < ' ' || r == 0x7f || r >= 0x80 && r < 0xa0 || r == '\ufffd':
			return -1
		}
		return r
	}, text)
}
