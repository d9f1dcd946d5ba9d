module countersign/signing/judge

go 1.26.0

replace countersign => ../..

require countersign v0.0.0

require github.com/standard-webhooks/standard-webhooks/libraries v0.0.1
