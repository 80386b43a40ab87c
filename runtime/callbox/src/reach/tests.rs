//! Who may be called, by whom, and as whom.

use std::sync::Arc;

use callbox_model::{
    Application, ApplicationId, ApplicationSpec, Domain, DomainId, Registration, Tenant, TenantState, Trunk, TrunkId,
    TrunkSpec, User, Wall,
};
use callbox_store as store;

use super::*;
use crate::directory::{EgressRules, Opened};

const TENANT: TenantId = TenantId::from_u128(1);
const OTHER: TenantId = TenantId::from_u128(2);
const APPLICATION: ApplicationId = ApplicationId::from_u128(1);
const ALICE: UserId = UserId::from_u128(1);
const BOB: UserId = UserId::from_u128(2);

/// Alice has two phones, Bob none.
struct Phones;

impl Contacts for Phones {
    fn of(&self, user: UserId) -> Vec<Contact> {
        let phone = |port: u16, flow| Contact {
            registration: Registration {
                user,
                contact: format!("sip:alice@10.0.0.{port}"),
                instance: None,
                reg_id: None,
                path: vec!["<sip:edge.example.org;lr>".to_owned()],
                q_permille: 1_000,
                sip_call_id: "c".to_owned(),
                cseq: 1,
                transport: "UDP".to_owned(),
                remote: ([198, 51, 100, 7], port).into(),
                local: ([192, 0, 2, 1], 5_060).into(),
                user_agent: None,
                expires: Wall(0),
            },
            flow,
        };
        if user == ALICE { vec![phone(7, Some(3)), phone(8, None)] } else { Vec::new() }
    }
}

fn directory(outbound: Outbound) -> Directory {
    let domain = |id, tenant, name: &str| Domain {
        id: DomainId::from_u128(id),
        tenant,
        name: name.to_owned(),
        md5: false,
        created: Wall(0),
    };
    let user = |id, tenant, domain: &str, name: &str| store::KeptUser {
        user: User { id, tenant, domain: domain.to_owned(), name: name.to_owned(), display: None, created: Wall(0) },
        verifiers: store::Sealed::new([]),
    };
    let spec = TrunkSpec {
        uri: "sip:carrier.example:5070;transport=tcp".to_owned(),
        networks: vec!["203.0.113.0/24".parse().unwrap()],
        media_networks: vec!["198.51.100.0/24".parse().unwrap()],
        username: Some("acme".to_owned()),
        realm: None,
        register: false,
        expires_s: None,
        caller_id: None,
        minute_price_micros: 12,
    };
    let trunk = Trunk {
        id: TrunkId::from_u128(1),
        tenant: TENANT,
        name: "carrier".to_owned(),
        spec,
        revision: 1,
        created: Wall(0),
    };
    let kept = store::Directory {
        revision: 1,
        tenants: vec![Tenant { id: TENANT, name: "t".to_owned(), state: TenantState::Active, created: Wall(0) }],
        applications: vec![Application {
            id: APPLICATION,
            tenant: TENANT,
            name: "app".to_owned(),
            spec: ApplicationSpec { outbound, ..ApplicationSpec::default() },
            secrets: Vec::new(),
            revision: 1,
            created: Wall(0),
        }],
        domains: vec![domain(1, TENANT, "acme.example"), domain(2, OTHER, "other.example")],
        users: vec![
            user(ALICE, TENANT, "acme.example", "alice"),
            user(BOB, TENANT, "acme.example", "bob"),
            user(UserId::from_u128(3), OTHER, "other.example", "carol"),
        ],
        trunks: vec![store::KeptTrunk { trunk, password: Some(store::Sealed::new([])) }],
        ..store::Directory::default()
    };
    let mut opened = Opened::default();
    opened.passwords.insert(TrunkId::from_u128(1), "hush".to_owned());
    Directory::new(&kept, &mut opened, &Arc::default(), &EgressRules::default())
}

fn all() -> Outbound {
    Outbound {
        trunk: Some("carrier".to_owned()),
        numbers: vec!["+49".to_owned(), "+1212".to_owned()],
        domains: vec!["pbx.example".to_owned(), "*.partner.example".to_owned()],
        networks: vec!["192.0.2.0/24".parse().unwrap()],
        media_networks: Vec::new(),
        caller_ids: vec!["+49301".to_owned(), "sip:desk@acme.example".to_owned()],
    }
}

fn ways(outbound: Outbound, target: &str, caller_id: Option<&str>) -> Result<Vec<Way>, Unreachable> {
    let directory = directory(outbound);
    let route = directory.application(APPLICATION).unwrap();
    let reach = Reach {
        directory: &directory,
        tenant: TENANT,
        outgoing: &route.outgoing,
        caller: Some("sip:+4989@carrier.example"),
        local: "192.0.2.1".parse().unwrap(),
        contacts: &Phones,
    };
    reach.ways(target, caller_id)
}

#[test]
fn numbers_go_through_the_trunk_as_far_as_a_prefix_lets_them() {
    let way = &ways(all(), "+4930123456", None).unwrap()[0];
    assert_eq!(way.target, "sip:+4930123456@carrier.example:5070;transport=tcp");
    assert_eq!(way.caller, "<sip:+49301@carrier.example:5070>");
    assert_eq!((way.trunk, way.credentials.is_some()), (Some(TrunkId::from_u128(1)), true));
    assert_eq!(way.media_networks.len(), 2);
    assert_eq!(
        ways(all(), "tel:+49-(30).1234", None).unwrap()[0].target,
        "sip:+49301234@carrier.example:5070;transport=tcp"
    );
    for number in ["+4412345678", "+1312555012", "+882123456"] {
        let why = ways(all(), number, None).unwrap_err();
        assert!(
            matches!(why, Unreachable::Destination { .. }) && why.to_string().contains("outbound.numbers"),
            "{why}"
        );
    }
    let no_trunk = ways(Outbound { trunk: None, ..all() }, "+4930123456", None);
    assert!(matches!(no_trunk, Err(Unreachable::NoTrunk { .. })));
    let bare = Outbound { caller_ids: Vec::new(), ..all() };
    assert_eq!(ways(bare, "+4930123456", None).unwrap()[0].caller, "<sip:acme@carrier.example:5070>");
}

#[test]
fn a_user_is_called_at_every_phone_and_others_users_are_strangers() {
    for target in ["alice@acme.example", "sip:alice@ACME.example", "sip:alice@acme.example;transport=udp"] {
        let ways = ways(Outbound::default(), target, None).unwrap();
        assert_eq!(ways.len(), 2, "{target}");
        assert_eq!((ways[0].flow, ways[1].flow), (Some(3), None));
        assert_eq!(ways[0].caller, "<sip:+4989@carrier.example>", "the house shows who calls");
        assert_eq!(ways[1].routes, ["<sip:edge.example.org;lr>"]);
        assert!(ways[1].egress.admits("198.51.100.7:9".parse().unwrap()).is_ok(), "where it registered from");
        assert!(ways[1].egress.admits("10.0.0.8:5060".parse().unwrap()).is_err(), "and not where it says it is");
    }
    let why = ways(Outbound::default(), "bob@acme.example", None).unwrap_err();
    assert_eq!(why, Unreachable::NotRegistered("bob@acme.example".to_owned()));
    assert!(matches!(ways(Outbound::default(), "nobody@acme.example", None), Err(Unreachable::Target { .. })));
    assert!(matches!(ways(all(), "carol@other.example", None), Err(Unreachable::Destination { .. })));
}

#[test]
fn hosts_and_addresses_are_named_or_not_called() {
    let way = &ways(all(), "sip:desk@pbx.example:5080;transport=tcp", None).unwrap()[0];
    assert_eq!((way.target.as_str(), way.trunk), ("sip:desk@pbx.example:5080;transport=tcp", None));
    assert!(way.egress.admits("192.0.2.9:5060".parse().unwrap()).is_err(), "a documentation network is not public");
    assert!(way.egress.admits("8.8.8.8:5060".parse().unwrap()).is_err(), "nor is what is in none of the networks");
    for good in ["sip:a@b.partner.example", "sips:a@x.y.partner.example", "sip:a@192.0.2.77"] {
        assert!(ways(all(), good, None).is_ok(), "{good}");
    }
    for bad in [
        "sip:a@partner.example",
        "sip:a@evilpartner.example",
        "sip:a@partner.example.evil.example",
        "sip:a@127.0.0.1",
        "sip:a@169.254.169.254",
        "sip:a@[::1]",
        "sip:a@[::ffff:192.0.2.1]:5060",
        "sip:a@localhost",
    ] {
        let found = ways(all(), bad, None);
        let is_refused = matches!(found, Err(Unreachable::Destination { .. }));
        // An address in another wrapping is the same address.
        assert!(is_refused || bad.contains("ffff"), "{bad}: {found:?}");
    }
    for nonsense in ["", "100", "http://x.example/", "mailto:a@b", "sip:", "sip:a@b c", "+", "+12"] {
        let found = ways(all(), nonsense, None);
        let is_refused = matches!(found, Err(Unreachable::Target { .. } | Unreachable::Destination { .. }));
        assert!(is_refused, "{nonsense}: {found:?}");
    }
}

#[test]
fn nobody_calls_under_another_name() {
    for (target, allowed) in [("+4930123456", "+49301"), ("sip:a@pbx.example", "sip:desk@acme.example")] {
        assert!(ways(all(), target, Some(allowed)).is_ok());
        let why = ways(all(), target, Some("+4911")).unwrap_err();
        assert!(matches!(why, Unreachable::CallerId { .. }), "{why}");
    }
    // Not even the caller's own, outside of the house.
    assert!(ways(all(), "+4930123456", Some("sip:+4989@carrier.example")).is_err());
    assert!(ways(all(), "alice@acme.example", Some("sip:+4989@carrier.example")).is_ok());
    assert!(ways(all(), "alice@acme.example", Some("sip:boss@acme.example")).is_err());
}

#[test]
fn of_a_uri_s_headers_only_a_transfer_s_is_taken() {
    let way = &ways(all(), "sip:a@pbx.example?Replaces=1%3Bto-tag%3D2%3Bfrom-tag%3D3", None).unwrap()[0];
    assert_eq!(way.target, "sip:a@pbx.example");
    assert_eq!((way.headers[0].name.as_str(), way.headers[0].value.as_str()), ("Replaces", "1;to-tag=2;from-tag=3"));
    for bad in ["sip:a@pbx.example?Route=x", "sip:a@pbx.example?Subject=x&Replaces=y", "sip:a@pbx.example?x"] {
        assert!(matches!(ways(all(), bad, None), Err(Unreachable::Target { .. })), "{bad}");
    }
}

#[test]
fn what_is_bought_is_told_by_country() {
    let directory = directory(all());
    let route = directory.application(APPLICATION).unwrap();
    let reach = Reach {
        directory: &directory,
        tenant: TENANT,
        outgoing: &route.outgoing,
        caller: None,
        local: "192.0.2.1".parse().unwrap(),
        contacts: &Phones,
    };
    let bought = |target| reach.bought(&reach.ways(target, None).unwrap()[0]);
    assert_eq!(bought("+4930123456"), Some(Bought { code: "49".to_owned(), minute_price_micros: 12 }));
    assert_eq!(bought("sip:a@pbx.example"), None);
}
