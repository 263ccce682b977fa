package doorflow_test

import (
	"errors"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"gatehouse/doorflow"
)

const (
	key       = "whsec_demo_5f1c2a7e9b"
	clientKey = "df_client_secret_demo_0042"
	timestamp = "1767225600"
	v1        = "71a83e74ed7f460f0f0f6d1933ebe6eb2ba20a410f64d61bb15bbc8e854c9a43"
)

// vector reads a body from testdata, byte for byte.
func vector(t testing.TB, name string) []byte {
	t.Helper()
	body, err := os.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return body
}

func headers(timestamp, signature string) http.Header {
	return http.Header{"Timestamp": {timestamp}, "Signature": {signature}}
}

func verifierAt(unix int64, keys ...string) *doorflow.Verifier {
	v := &doorflow.Verifier{Tolerance: 300 * time.Second, Now: func() time.Time { return time.Unix(unix, 0) }}
	for _, k := range keys {
		v.Secrets = append(v.Secrets, []byte(k))
	}
	return v
}

func TestSignVectors(t *testing.T) {
	for _, tt := range []struct{ name, key, timestamp, body, want string }{
		{"V1 one event", key, timestamp, "v1.json", v1},
		{"V2 two items", key, timestamp, "v2.json", "9c5a2177d6dd5e168bde3da36ee8b193123661f3820526ab3f4fbaf3935d36b7"},
		{"V3 not ASCII", key, timestamp, "v3.json", "7fc9e84edf8b406753653af0ed196ca83f4601286187b8ef594c5afdd7f11dd1"},
		{"V4 white space", key, timestamp, "v4.json", "8df0815b64a82f55bec697d6fcc1b84d8cebaccbc1ceaa06a1a7e90acac5163b"},
		{"V4 written anew", key, timestamp, "v4compact.json", "8e85e5d4b3a60e34f21b4ce09bb74c95c9b36a77a14e254d039a5f62a66b3825"},
		{"V5 empty", key, timestamp, "v5.json", "d0c8e75db85c0f02eb6ab018ec29027b8cccb45bb90e925a6181e4c26a225383"},
		{"V6 no items", key, timestamp, "v6.json", "975cbf5c51d720fc80700adbb8bc76284a5514680dd252b17c823b2fcf5598b4"},
		{"V7 the SDK's own", "test-webhook-secret", "1712049196", "v7.json", "334e31409cefebd5095991f5657dbe901d4024212d3c89f4973e41f6229dae48"},
		{"V1 with the client secret", clientKey, timestamp, "v1.json", "0e10e7673cb08bcdee550d9341c53cb4bb3a18d9d31b775b89a53e09ce3e3bce"},
		{"V1 a second later", key, "1767225601", "v1.json", "2aec7a58e0c6a1d56405f4c9e8350351672e0b130892d21949f0d45f8c005a43"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			body := vector(t, tt.body)
			if got := doorflow.Sign([]byte(tt.key), tt.timestamp, body); got != tt.want {
				t.Fatalf("signature %s, want %s", got, tt.want)
			}
			unix, err := doorflow.ParseTimestamp(tt.timestamp)
			if err != nil {
				t.Fatal(err)
			}
			if i, err := verifierAt(unix.Unix(), "other", tt.key).Verify(headers(tt.timestamp, tt.want), body); i != 1 || err != nil {
				t.Fatalf("Verify = %d, %v; want the second secret", i, err)
			}
		})
	}
}

func TestVectorSizes(t *testing.T) {
	for name, size := range map[string]int{"v1.json": 198, "v2.json": 428, "v3.json": 102, "v4.json": 25, "v5.json": 0, "v6.json": 2, "v7.json": 184} {
		if got := len(vector(t, name)); got != size {
			t.Errorf("%s has %d bytes, want %d", name, got, size)
		}
	}
}

func TestVerifyVariantsOfV1(t *testing.T) {
	body := vector(t, "v1.json")
	for _, tt := range []struct {
		name, timestamp, signature string
		now                        int64
		want                       error
	}{
		{"as it is", timestamp, v1, 1767225600, nil},
		{"upper-case hex", timestamp, strings.ToUpper(v1), 1767225600, nil},
		{"another timestamp", "1767225601", v1, 1767225600, doorflow.ErrSignatureMismatch},
		{"client secret not configured", timestamp, "0e10e7673cb08bcdee550d9341c53cb4bb3a18d9d31b775b89a53e09ce3e3bce", 1767225600, doorflow.ErrSignatureMismatch},
		{"body only", timestamp, "2985e3c9e785662385e5a5c8026a44377d7c2ab41d2854deccea3d49453658b5", 1767225600, doorflow.ErrSignatureMismatch},
		{"no separator", timestamp, "8ec4436bd5e16a764339635792676f13e20a31d17e919b19846b260fdf9913cd", 1767225600, doorflow.ErrSignatureMismatch},
		{"newline", timestamp, "8dd4e4e9669dff4260cd488f539f8c697b39df6df10c1f36d757c07bee9d6c41", 1767225600, doorflow.ErrSignatureMismatch},
		{"body first", timestamp, "c4d58ab613270a9a38c02599fc3fbdb5a243ac2cff3f4016a2a8e57baa5ce647", 1767225600, doorflow.ErrSignatureMismatch},
		{"base64", timestamp, "cag+dO1/Rg8PD20ZM+vm6yuiCkEPZNYbsVu8joVMmkM=", 1767225600, doorflow.ErrSignatureMalformed},
		{"prefixed", timestamp, "sha256=" + v1, 1767225600, doorflow.ErrSignatureMalformed},
		{"short", timestamp, v1[:62], 1767225600, doorflow.ErrSignatureMalformed},
		{"spaces inside", timestamp, v1[:32] + " " + v1[33:], 1767225600, doorflow.ErrSignatureMalformed},
		{"300 s old", timestamp, v1, 1767225900, nil},
		{"301 s old", timestamp, v1, 1767225901, doorflow.ErrTimestampStale},
		{"300 s early", timestamp, v1, 1767225300, nil},
		{"301 s early", timestamp, v1, 1767225299, doorflow.ErrTimestampStale},
		{"timestamp with a sign", "+767225600", v1, 1767225600, doorflow.ErrTimestampMalformed},
		{"timestamp too short", "17672256", v1, 1767225600, doorflow.ErrTimestampMalformed},
		{"timestamp too long", "17672256000000", v1, 1767225600, doorflow.ErrTimestampMalformed},
		{"timestamp empty", "", v1, 1767225600, doorflow.ErrTimestampMalformed},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := verifierAt(tt.now, key).Verify(headers(tt.timestamp, tt.signature), body)
			if !errors.Is(err, tt.want) {
				t.Fatalf("got %v, want %v", err, tt.want)
			}
		})
	}
}

func TestVerifyMilliseconds(t *testing.T) {
	body, ms := vector(t, "v1.json"), "1767225600999"
	signature := doorflow.Sign([]byte(key), ms, body)
	v := verifierAt(0, key)
	for _, tt := range []struct {
		now  time.Time
		want error
	}{
		{time.UnixMilli(1767225600999 + 300_000), nil},
		{time.UnixMilli(1767225600999 + 300_001), doorflow.ErrTimestampStale},
	} {
		v.Now = func() time.Time { return tt.now }
		if _, err := v.Verify(headers(ms, signature), body); !errors.Is(err, tt.want) {
			t.Errorf("at %v: %v, want %v", tt.now, err, tt.want)
		}
	}
}

func TestVerifyWantsEachHeaderOnce(t *testing.T) {
	body := vector(t, "v1.json")
	for name, h := range map[string]http.Header{
		"none":           {},
		"no signature":   {"Timestamp": {timestamp}},
		"no timestamp":   {"Signature": {v1}},
		"two signatures": {"Timestamp": {timestamp}, "Signature": {v1, v1}},
		"two timestamps": {"Timestamp": {timestamp, timestamp}, "Signature": {v1}},
	} {
		if _, err := verifierAt(1767225600, key).Verify(h, body); !errors.Is(err, doorflow.ErrSignatureMissing) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// HMAC with an empty key would prove anything that an attacker signs with an empty key.
func TestVerifyNeverUsesAnEmptySecret(t *testing.T) {
	body := vector(t, "v1.json")
	signature := doorflow.Sign(nil, timestamp, body)
	if _, err := verifierAt(1767225600, "").Verify(headers(timestamp, signature), body); !errors.Is(err, doorflow.ErrSignatureMismatch) {
		t.Fatal(err)
	}
}

func FuzzVerify(f *testing.F) {
	f.Add(timestamp, v1, vector(f, "v1.json"))
	f.Add("1767225600000", strings.ToUpper(v1), []byte("[]"))
	f.Fuzz(func(t *testing.T, ts, signature string, body []byte) {
		_, err := verifierAt(1767225600, key).Verify(headers(ts, signature), body)
		proven := err == nil
		want := strings.EqualFold(signature, doorflow.Sign([]byte(key), ts, body))
		if proven && !want {
			t.Fatal("accepted what was not signed")
		}
	})
}
