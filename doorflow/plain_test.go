package doorflow

import (
	"bytes"
	"net/url"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// The quick way must read and show exactly what the general one does.
func FuzzPlainIsLikeGeneral(f *testing.F) {
	for _, body := range []string{
		`[{"action":"CREATE","resource":"https://api.doorflow.com/api/3/events/700000001?ack_token=Qk7rT2xLp","resource_type":"Event","resource_id":"700000001","account_id":"hX9aQ2","ack_token":"Qk7rT2xLp"}]`,
		` [ {"action":"CREATE" , "resource":"https://a/events/1?ack_token=Qk7rT2xLp","resource_type":"Event","resource_id":"1","account_id":"x","ack_token":"Qk7rT2xLp"} ,` +
			`{"ack_token":"Qk7rT2xLp","action":"U","resource":"Qk7rT2xLp","resource_type":"Event","resource_id":"1","account_id":"x"} ] `,
		`[{"action":"<&>","resource":"?ack_token=Qk7rT2xLp","resource_type":"Event","resource_id":"1","account_id":"hX 9aQ2","ack_token":"Qk7rT2xLp"}]`,
		`[]`, `[{}]`, `[{"action":"a","action":"b"}]`, `[{"action":"0"`, `[{"action":"0"  `,
	} {
		f.Add([]byte(body))
	}
	api := &url.URL{Scheme: "https", Host: "api.doorflow.com"}
	f.Fuzz(func(t *testing.T, body []byte) {
		quick, ok := parsePlain(slices.Clip(body))
		if !ok {
			return
		}
		general, err := parseGeneral(body)
		if err != nil {
			t.Fatalf("read what is not JSON: %q", body)
		}
		if diff := cmp.Diff(general, quick, cmpopts.IgnoreUnexported(Notification{})); diff != "" {
			t.Fatal(diff)
		}
		for i := range quick {
			if data, ok := quick[i].plainPublic(); ok && !bytes.Equal(data, general[i].Public()) {
				t.Fatalf("shown as %s, want %s", data, general[i].Public())
			}
			want, flag := general[i].Target(api)
			if target, ok := quick[i].plainTarget(api); ok && (target != want || flag != "") {
				t.Fatalf("points at %+v, want %+v %s", target, want, flag)
			}
		}
	})
}
