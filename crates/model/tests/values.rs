//! Times, ids, random numbers and derived values.

use cloudpc_model::{
    AgentSetting, CloudPcId, ConnectionStatus, IMAGE_ID_BYTES_MAX, ImageId, OsVersion, Partner, PartnerId, Rng,
    SeededRng, TenantId, Timestamp,
};
use proptest::{prop_assert, prop_assert_eq, proptest};
use std::time::Duration;
use uuid::Uuid;

#[test]
fn times_are_formatted_like_dot_net() {
    assert_eq!(Timestamp(0).to_string(), "1970-01-01T00:00:00.0000000Z");
    assert_eq!(Timestamp(1_619_316_293_472_200).to_string(), "2021-04-25T02:04:53.4722000Z");
}

#[test]
fn time_arithmetic_saturates() {
    assert_eq!(Timestamp(5) + Duration::MAX, Timestamp(i64::MAX));
    assert_eq!(Timestamp(5).since(Timestamp(9)), Duration::ZERO);
    assert_eq!(Timestamp(-1).unix_seconds(), -1);
}

proptest! {
    #[test]
    fn time_operations_accept_every_value(micros: i64, seconds: u64, nanos in 0_u32..1_000_000_000) {
        let (time, by) = (Timestamp(micros), Duration::new(seconds, nanos));
        prop_assert!(time + by >= time);
        prop_assert!(time - by <= time);
        prop_assert!((time + by).since(time) <= by);
        prop_assert_eq!(time.to_string().len(), "2021-04-25T02:04:53.4722000Z".len());
        time.unix_seconds();
    }

    #[test]
    fn formatted_times_sort_like_times(one: i64, other: i64) {
        let (early, late) = (one.min(other), one.max(other));
        prop_assert!(Timestamp(early).to_string() <= Timestamp(late).to_string());
    }
}

#[test]
fn seed_replays() {
    let ids = |seed| {
        let rng = SeededRng::new(seed);
        [CloudPcId::random(&rng), CloudPcId::random(&rng)]
    };
    assert_eq!(ids(7), ids(7));
    assert_ne!(ids(7), ids(8));
    assert_ne!(ids(7)[0], ids(7)[1]);
    assert_eq!(ids(7)[0].0.get_version_num(), 4);
    assert!(SeededRng::new(1).below(0) == 0);
}

#[test]
fn image_ids_are_validated() {
    for right in ["cloudpc_linux_test", "debian-12-generic-amd64.2", "7", &"x".repeat(IMAGE_ID_BYTES_MAX)] {
        assert_eq!(ImageId::new(right).unwrap().0, right);
    }
    for wrong in ["", "..", "_x", "a b", "a/b", "ä", "a%2f", "a'", &"x".repeat(IMAGE_ID_BYTES_MAX + 1)] {
        assert_eq!(ImageId::new(wrong), None, "{wrong:?}");
    }
}

#[test]
fn version_number_determines_the_operating_system() {
    let number = OsVersion::of_number;
    assert_eq!(["10.0.21999", "10.0.19045.4651"].map(number), [Some(OsVersion::Windows10); 2]);
    assert_eq!(["10.0.22000", "10.0.26100.1"].map(number), [Some(OsVersion::Windows11); 2]);
    for none in ["", "11", "10.0", "10.0.x", "10.0.22000.", "10.0.22000.1.1", "6.1.7601", "10.1.22000", "-10.0.22000"] {
        assert_eq!(number(none), None, "{none}");
    }
    for system in [OsVersion::Windows10, OsVersion::Windows11] {
        assert_eq!(number(system.number()), Some(system));
    }
}

#[test]
fn agent_is_named_by_the_last_segment_of_its_url() {
    let named = |url: &str| {
        let agent = AgentSetting {
            url: url.into(),
            sha256: String::new(),
            install_parameters: vec![],
            auto_deploy: false,
            detection: None,
        };
        agent.agent_name().to_owned()
    };
    assert_eq!(named("https://partner.test/files/agent.msi?token=secret#x"), "agent.msi");
    assert_eq!(named("https://partner.test/"), "");
}

#[test]
fn partner_connection_states() {
    let silence_max = Duration::from_secs(60);
    let mut partner = Partner {
        tenant_id: TenantId(Uuid::nil()),
        id: PartnerId(Uuid::nil()),
        partner_id: String::new(),
        enable_connection: true,
        agent: None,
        allowed_urls: vec![],
        last_sync_at: None,
    };
    let at = |seconds| Timestamp(0) + Duration::from_secs(seconds);
    assert_eq!(partner.connection_status(at(0), silence_max), ConnectionStatus::Available);
    partner.last_sync_at = Some(at(10));
    assert_eq!(partner.connection_status(at(70), silence_max), ConnectionStatus::Healthy);
    assert_eq!(partner.connection_status(at(71), silence_max), ConnectionStatus::Unhealthy);
    partner.enable_connection = false;
    assert_eq!(partner.connection_status(at(10), silence_max), ConnectionStatus::NotAvailable);
}
