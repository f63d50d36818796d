use super::*;

#[test]
fn the_documented_example_is_valid_and_shows_the_defaults() {
    let example = include_str!("../../../../docs/config.example.toml");
    assert_eq!(Config::parse(example).unwrap(), Config::default(), "an example value differs from the default");

    // Keys without a default are commented out; they must be valid too.
    let uncommented: String =
        example.lines().map(|line| line.strip_prefix("#: ").unwrap_or(line)).collect::<Vec<_>>().join("\n");
    let full = Config::parse(&uncommented).unwrap();
    assert_eq!(full.identity.issuers.len(), 1);
    assert!(!full.server.names.is_empty());
    assert_eq!(full.server.trusted_proxies.len(), 3);
}

#[test]
fn an_error_names_the_key() {
    let error = |text: &str| Config::parse(text).unwrap_err().to_string();
    insta::assert_snapshot!(error("[server]\nnames = [\"a.test\", \"http://b.test\"]"), @r#"invalid server.names[1] in the configuration file: "http://b.test" is not a hostname or an IP address; omit the scheme and port"#);
    let proxy = error("[server]\ntrusted_proxies = [\"10.0.0.1\", \"proxy.test\"]");
    assert!(proxy.contains("\"proxy.test\" is not an IP address or a network such as \"10.0.0.0/8\""), "{proxy}");
    let origin = error("[server]\ncors_origins = [\"https://a.test/\"]");
    assert!(
        origin.starts_with("invalid server.cors_origins[0] in the configuration file: \"https://a.test/\""),
        "{origin}"
    );
    insta::assert_snapshot!(error("[engine]\nrunning_max = 0"), @"invalid engine.running_max in the configuration file: 0; expected 1 to 100000");
    insta::assert_snapshot!(error("[engine]\nlease_s = 0"), @"invalid engine.lease_s in the configuration file: 0; expected at least 1");
    insta::assert_snapshot!(error("[engine]\nleese = 1"), @"
    invalid configuration file: TOML parse error at line 2, column 1
      |
    2 | leese = 1
      | ^^^^^
    unknown field `leese`, expected one of `running_max`, `lease_s`, `agent_disk_bytes_min`, `install_time_max_s`
    ");
    insta::assert_snapshot!(error("[identity]\nfidelity = \"lax\""), @r#"
    invalid configuration file: TOML parse error at line 2, column 12
      |
    2 | fidelity = "lax"
      |            ^^^^^
    unknown variant `lax`, expected `open` or `strict`
    "#);
    insta::assert_snapshot!(error("[[identity.issuers]]\nissuer = \"http://idp.test\"\naudience = \"a\"\ntenant = \"00000000-0000-0000-0000-000000000001\""), @r#"invalid identity.issuers[0].issuer in the configuration file: "http://idp.test"; expected an https URL, or an http URL on the loopback interface"#);
    insta::assert_snapshot!(error("[[identity.issuers]]\nissuer = \"https://idp.test\"\naudience = \"a\"\ntenant = \"00000000-0000-0000-0000-000000000000\""), @"invalid identity.issuers[0].tenant in the configuration file: 00000000-0000-0000-0000-000000000000 is reserved for the installation; expected the id of a tenant");
}

#[test]
fn an_origin_must_have_the_form_that_browsers_send() {
    let with = |origin: &str| Config::parse(&format!("[server]\ncors_origins = [{origin:?}]")).is_ok();
    for origin in ["*", "https://a.test", "http://127.0.0.1:3000", "http://[::1]:3000"] {
        assert!(with(origin), "{origin}");
    }
    for origin in ["", "null", "a.test", "https://*.a.test", "https://A.test", "https://a.test:443", "https://a.test/b"]
    {
        assert!(!with(origin), "{origin}");
    }
}

#[test]
fn a_source_of_images_is_a_url_prefix() {
    let with = |prefix: &str| Config::parse(&format!("[qemu]\nsource_urls = [{prefix:?}]"));
    assert!(with("https://images.test/disks/").is_ok() && with("http://10.0.0.7:8080").is_ok());
    for prefix in ["", "images.test", "file:///images", "https://a@images.test/", "https://images.test/?a"] {
        assert!(with(prefix).unwrap_err().to_string().contains("qemu.source_urls[0]"), "{prefix}");
    }
}

#[test]
fn numbers_of_throttling_are_rejected_beyond_their_limit() {
    let with = |n: usize| Config::parse(&format!("[throttling]\napp_writes = {n}"));
    assert!(with(1).is_ok() && with(THROTTLING_MAX).is_ok());
    assert!(with(0).is_err());
    assert!(with(THROTTLING_MAX + 1).unwrap_err().to_string().contains("throttling.app_writes"));
}

#[test]
fn running_max_is_rejected_beyond_its_limit() {
    let with = |n: usize| Config::parse(&format!("[engine]\nrunning_max = {n}"));
    assert!(with(RUNNING_MAX).is_ok());
    assert!(with(RUNNING_MAX + 1).is_err());
}
