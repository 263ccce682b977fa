package dashboard

import (
	"fmt"
	"strings"
	"time"
)

// shows says which figures a station's line is of, and where more of it can be seen.
var shows = map[string]struct{ figures, path string }{
	"Webhooks in":   {"webhooks", "/connections"},
	"Log":           {"messages", "/messages"},
	"Relay":         {"published", ""},
	"NATS":          {"published", ""},
	"Facts fetched": {"fetched", ""},
	"Deliveries":    {"delivered", "/endpoints"},
	"Operations":    {"operations", "/operations"},
}

// draw adds the lines to the stations, and the large one below them.
func (f *flow) draw(r Reading) {
	for _, stations := range [][]station{f.Way, f.Branches} {
		for i := range stations {
			is := shows[stations[i].Name]
			stations[i].Path, stations[i].Line = is.path, sparkline(r.Points[is.figures], stationHigh).Line
		}
	}
	f.Spark = sparkline(r.Points["messages"], sparkHigh)
	for _, n := range r.Minutes["messages"] {
		f.Sum += n
		f.Most = max(f.Most, n)
	}
	f.Spark.Now = r.Minutes["messages"][minutes-1]
	f.Ago = fmt.Sprintf("%d minutes", r.Span/time.Minute)
}

// spark is a line, in units of its picture.
type spark struct {
	Line, Area string
	Now        float64 // in the last minute
}

// How large the pictures of lines are: all are equally wide.
const sparkWide, sparkHigh, stationHigh = 600, 80, 40

func sparkline(by [points]float64, high int) spark {
	var s spark
	most := 1.0
	for _, n := range by {
		most = max(most, n)
	}
	var b strings.Builder
	for i, n := range by {
		x := float64(i) * sparkWide / (points - 1)
		y := float64(high) - 2 - n/most*float64(high-8)
		fmt.Fprintf(&b, "%s%.1f %.1f", map[bool]string{true: "M", false: "L"}[i == 0], x, y)
	}
	s.Line = b.String()
	s.Area = s.Line + fmt.Sprintf("L%d %dL0 %dZ", sparkWide, high, high)
	return s
}
