"""One graph over four databases that were not made for it: all that is in them, and all relations within and across.

    music      PostgreSQL, schema "music"   the catalogue, the staff, customers, invoices, orders
    shop       MongoDB                      customers and invoices as documents
    listening  Neo4j                        who played which track, who follows whom, who performs what
    laptop     SQLite                       the catalogue again, as it was on somebody's laptop

Nothing is managed: the databases stay as they are. Customers, tracks and artists have the same keys wherever they are: where a collection
says its ``type`` and its key refers to none, columns that refer to another type lead to it, too. Longer than 400 lines: one graph is read
in one place, as an author would write it.
"""

from __future__ import annotations

from decimal import Decimal
from enum import Enum

import strawberry
from strawberry.schema.config import StrawberryConfig

from gateway.graph import (
    SCALARS,
    Base64,
    BigInt,
    Connection,
    Date,
    DateTime,
    Graph,
    Interval,
    Node,
    Through,
    average,
    column,
    count,
    embedded,
    filter_of,
    lookup,
    many,
    maximum,
    minimum,
    node,
    nodes,
    one,
    order_of,
    stats,
    total,
)
from gateway.stores.base import Collection, Column, Compare, Index, Relationship, Type

MUSIC, SHOP, LISTENING, LAPTOP = "music", "shop", "listening", "laptop"
STORES = (MUSIC, SHOP, LISTENING, LAPTOP)


def integer(name: str, refers: str | None = None, *, nullable: bool = False, bits: int = 32, at: str = "") -> Column:
    return Column(name, Type.INT, nullable=nullable, refers=refers, bits=bits, at=at)


def text(name: str, *, nullable: bool = True, at: str = "") -> Column:
    return Column(name, nullable=nullable, at=at)


def money(name: str, scale: int = 2, at: str = "") -> Column:
    return Column(name, Type.DECIMAL, scale=scale, at=at)


# ----------------------------------------------------------------------------------------------------------- PostgreSQL

ARTISTS = Collection("artists", MUSIC, (integer("artist_id", "Artist"), text("name")), key=("artist_id",), table="music.artist")
GENRES = Collection("genres", MUSIC, (integer("genre_id", "Genre"), text("name")), key=("genre_id",), table="music.genre")
MEDIA_TYPES = Collection(
    "media_types", MUSIC, (integer("media_type_id", "MediaType"), text("name")), key=("media_type_id",), table="music.media_type"
)
PLAYLISTS = Collection("playlists", MUSIC, (integer("playlist_id", "Playlist"), text("name")), key=("playlist_id",), table="music.playlist")
ALBUMS = Collection(
    "albums",
    MUSIC,
    (integer("album_id", "Album"), text("title", nullable=False), integer("artist_id", "Artist")),
    key=("album_id",),
    table="music.album",
)
TRACKS = Collection(
    "tracks",
    MUSIC,
    (
        integer("track_id", "Track"),
        text("name", nullable=False),
        integer("album_id", "Album", nullable=True),
        integer("media_type_id", "MediaType"),
        integer("genre_id", "Genre", nullable=True),
        text("composer"),
        integer("milliseconds"),
        integer("bytes", nullable=True),
        money("unit_price"),
    ),
    key=("track_id",),
    table="music.track",
)
PLAYLIST_TRACKS = Collection(
    "playlist_tracks",
    MUSIC,
    (integer("playlist_id", "Playlist"), integer("track_id", "Track")),
    key=("playlist_id", "track_id"),
    table="music.playlist_track",
    type="PlaylistTrack",
)
ADDRESS = tuple(map(text, ("address", "city", "state", "country", "postal_code", "phone", "fax")))
EMPLOYEES = Collection(
    "employees",
    MUSIC,
    (
        integer("employee_id", "Employee"),
        text("last_name", nullable=False),
        text("first_name", nullable=False),
        text("title"),
        integer("reports_to", "Employee", nullable=True),
        Column("birth_date", Type.TIME, nullable=True, precision=6),
        Column("hire_date", Type.TIME, nullable=True, precision=6),
        *ADDRESS,
        text("email"),
    ),
    key=("employee_id",),
    table="music.employee",
)
CUSTOMERS = Collection(
    "customers",
    MUSIC,
    (
        integer("customer_id", "Customer"),
        text("first_name", nullable=False),
        text("last_name", nullable=False),
        text("company"),
        *ADDRESS,
        text("email", nullable=False),
        integer("support_rep_id", "Employee", nullable=True),
    ),
    key=("customer_id",),
    table="music.customer",
)
BILLING = tuple(map(text, ("billing_address", "billing_city", "billing_state", "billing_country", "billing_postal_code")))
INVOICES = Collection(
    "invoices",
    MUSIC,
    (
        integer("invoice_id", "Invoice"),
        integer("customer_id", "Customer"),
        Column("invoice_date", Type.TIME, precision=6),
        *BILLING,
        money("total"),
    ),
    key=("invoice_id",),
    table="music.invoice",
)
INVOICE_LINES = Collection(
    "invoice_lines",
    MUSIC,
    (
        integer("invoice_line_id", "InvoiceLine"),
        integer("invoice_id", "Invoice"),
        integer("track_id", "Track"),
        money("unit_price"),
        integer("quantity"),
    ),
    key=("invoice_line_id",),
    table="music.invoice_line",
)


def order_columns(refers: str | None = None, *, nullable: bool = False) -> tuple[Column, ...]:
    """The columns of "order", and of the view of it, in which the database says of none that it is never null."""
    return (
        Column("id", Type.UUID, refers=refers),
        integer("customer_id", "Customer", at="customerId", nullable=nullable),
        Column("placed_at", Type.TIME, precision=6, nullable=nullable),
        Column("band", Type.ENUM, values=("budget", "regular", "premium"), enum="music.price_band", nullable=nullable),
        Column("tags", many=True, nullable=nullable),
        Column("sizes", Type.INT, many=True, nullable=True, bits=32),
        Column("meta", Type.JSON, nullable=nullable),
        Column("note", nullable=True, collation="nocase"),
        Column("deleted_at", Type.TIME, precision=6, nullable=True),
        Column("receipt", Type.BYTES, nullable=True),
    )


ORDERS = Collection("orders", MUSIC, order_columns("Order"), table="music.order")
KEPT_ORDERS = Collection(
    "kept_orders", MUSIC, order_columns(), table="music.order", type="KeptOrder", where=Compare("deleted_at", "eq", None)
)  # the soft delete, said here
LIVE_ORDERS = Collection("live_orders", MUSIC, order_columns(nullable=True), table="music.live_order", type="LiveOrder")  # and in a view
ORDER_LINES = Collection(
    "order_lines",
    MUSIC,
    (Column("order_id", Type.UUID, refers="Order"), integer("line_no"), integer("track_id", "Track"), money("price", 4)),
    key=("order_id", "line_no"),
    table="music.order_line",
    type="OrderLine",
)

# -------------------------------------------------------------------------------------------------------------- MongoDB

CUSTOMER_DOCUMENTS = Collection(
    "customer_documents",
    SHOP,
    (
        Column("id", Type.OBJECT_ID, refers="CustomerDocument", at="_id"),
        integer("customer_id", "Customer", at="customerId", bits=64),
        text("first_name", at="name.first"),
        text("last_name", at="name.last"),
        text("email"),
        text("city", at="address.city"),
        text("country", at="address.country"),
        Column("since", Type.TIME, nullable=True),
        Column("active", Type.BOOL, nullable=True),
        text("company"),
        integer("support_rep_id", "Employee", at="supportRepId", nullable=True, bits=64),
        Column("address", Type.JSON, nullable=True),
    ),
    indexes=(Index(("customer_id",), unique=True),),
    table="customers",
)
INVOICE_DOCUMENTS = Collection(
    "invoice_documents",
    SHOP,
    (
        Column("id", Type.OBJECT_ID, refers="InvoiceDocument", at="_id"),
        integer("number", bits=64),
        Column("customer", Type.OBJECT_ID, refers="CustomerDocument"),
        Column("date", Type.TIME),
        money("total"),
        text("billing_city", at="billing.city"),
        text("billing_country", at="billing.country"),
        Column("lines", Type.JSON),
        Column("status", Type.ENUM, values=("open", "paid", "refunded")),
    ),
    indexes=(Index(("customer", "id")),),
    table="invoices",
)
LINE = (integer("track_id", "Track", at="trackId"), money("unit_price", at="unitPrice"), integer("quantity"))
PLACE = (text("street"), text("city"), text("country"), text("postal_code", at="postalCode"))

# ---------------------------------------------------------------------------------------------------------------- Neo4j

LISTENERS = Collection(
    "listeners",
    LISTENING,
    (integer("customer_id", bits=64, at="customerId"), text("name")),
    key=("customer_id",),
    label="Listener",
    type="Listener",
)
TRACK_NODES = Collection(
    "track_nodes",
    LISTENING,
    (integer("track_id", bits=64, at="trackId"), text("name"), Column("seconds", Type.FLOAT, nullable=True)),
    key=("track_id",),
    label="Track",
    type="TrackNode",
)
ARTIST_NODES = Collection(
    "artist_nodes",
    LISTENING,
    (integer("artist_id", bits=64, at="artistId"), text("name")),
    key=("artist_id",),
    label="Artist",
    type="ArtistNode",
)
PLAYS = Collection(
    "plays",
    LISTENING,
    (
        Column("id", refers="Play", at="elementId()"),
        integer("customer_id", "Customer", bits=64),
        integer("track_id", "Track", bits=64),
        Column("at", Type.TIME, precision=6),
        Column("seconds", Type.FLOAT),
    ),
    relationship=Relationship(
        "PLAYED", "Listener", "customer_id", "Track", "track_id", start_property="customerId", end_property="trackId"
    ),
)
FOLLOWS = Collection(
    "follows",
    LISTENING,
    (integer("customer_id", "Customer", bits=64), integer("artist_id", "Artist", bits=64), Column("since", Type.DATE)),
    key=("customer_id", "artist_id"),
    relationship=Relationship(
        "FOLLOWS", "Listener", "customer_id", "Artist", "artist_id", start_property="customerId", end_property="artistId"
    ),
    type="Follow",
)
PERFORMANCES = Collection(
    "performances",
    LISTENING,
    (integer("artist_id", "Artist", bits=64), integer("track_id", "Track", bits=64)),
    key=("artist_id", "track_id"),
    relationship=Relationship("PERFORMS", "Artist", "artist_id", "Track", "track_id", start_property="artistId", end_property="trackId"),
    type="Performance",
)

# --------------------------------------------------------------------------------------------------------------- SQLite


def camel(declared: Collection, name: str) -> Collection:
    """The table of SQLite that is ``declared`` there: CamelCase names, 64 bits, texts as times."""
    columns = []
    for its in declared.columns:
        at = "".join(word.capitalize() for word in its.name.split("_"))
        type_ = None if its.refers is None or declared.key == (its.name,) else f"Lite{its.refers}"
        precision = 3 if its.type is Type.TIME else its.precision
        columns.append(Column(its.name, its.type, nullable=its.nullable, refers=type_, scale=its.scale, precision=precision, at=at))
    return Collection(
        f"lite_{declared.name}",
        LAPTOP,
        tuple(columns),
        key=declared.key,
        table=name,
        type=f"Lite{declared.type_name}",
    )


LITE_ARTISTS = camel(ARTISTS, "Artist")
LITE_GENRES = camel(GENRES, "Genre")
LITE_MEDIA_TYPES = camel(MEDIA_TYPES, "MediaType")
LITE_PLAYLISTS = camel(PLAYLISTS, "Playlist")
LITE_ALBUMS = camel(ALBUMS, "Album")
LITE_TRACKS = camel(TRACKS, "Track")
LITE_PLAYLIST_TRACKS = camel(PLAYLIST_TRACKS, "PlaylistTrack")
LITE_EMPLOYEES = camel(EMPLOYEES, "Employee")
LITE_CUSTOMERS = camel(CUSTOMERS, "Customer")
LITE_INVOICES = camel(INVOICES, "Invoice")
LITE_INVOICE_LINES = camel(INVOICE_LINES, "InvoiceLine")

# --------------------------------------------------------------------------------------------------- filters and orders

ArtistFilter, ArtistOrder = filter_of(ARTISTS), order_of(ARTISTS)
GenreFilter, GenreOrder = filter_of(GENRES), order_of(GENRES)
MediaTypeFilter, MediaTypeOrder = filter_of(MEDIA_TYPES), order_of(MEDIA_TYPES)
PlaylistFilter, PlaylistOrder = filter_of(PLAYLISTS), order_of(PLAYLISTS)
AlbumFilter, AlbumOrder = filter_of(ALBUMS), order_of(ALBUMS)
TrackFilter, TrackOrder = filter_of(TRACKS), order_of(TRACKS)
PlaylistTrackFilter, PlaylistTrackOrder = filter_of(PLAYLIST_TRACKS), order_of(PLAYLIST_TRACKS)
EmployeeFilter, EmployeeOrder = filter_of(EMPLOYEES), order_of(EMPLOYEES)
CustomerFilter, CustomerOrder = filter_of(CUSTOMERS), order_of(CUSTOMERS)
InvoiceFilter, InvoiceOrder = filter_of(INVOICES), order_of(INVOICES)
InvoiceLineFilter, InvoiceLineOrder = filter_of(INVOICE_LINES), order_of(INVOICE_LINES)
OrderFilter, OrderOrder = filter_of(ORDERS), order_of(ORDERS)
KeptOrderFilter, KeptOrderOrder = filter_of(KEPT_ORDERS), order_of(KEPT_ORDERS)
LiveOrderFilter, LiveOrderOrder = filter_of(LIVE_ORDERS), order_of(LIVE_ORDERS)
OrderLineFilter, OrderLineOrder = filter_of(ORDER_LINES), order_of(ORDER_LINES)
CustomerDocumentFilter, CustomerDocumentOrder = filter_of(CUSTOMER_DOCUMENTS), order_of(CUSTOMER_DOCUMENTS)
InvoiceDocumentFilter, InvoiceDocumentOrder = filter_of(INVOICE_DOCUMENTS), order_of(INVOICE_DOCUMENTS)
ListenerFilter, ListenerOrder = filter_of(LISTENERS), order_of(LISTENERS)
TrackNodeFilter, TrackNodeOrder = filter_of(TRACK_NODES), order_of(TRACK_NODES)
ArtistNodeFilter, ArtistNodeOrder = filter_of(ARTIST_NODES), order_of(ARTIST_NODES)
PlayFilter, PlayOrder = filter_of(PLAYS), order_of(PLAYS)
FollowFilter, FollowOrder = filter_of(FOLLOWS), order_of(FOLLOWS)
PerformanceFilter, PerformanceOrder = filter_of(PERFORMANCES), order_of(PERFORMANCES)
LiteArtistFilter, LiteArtistOrder = filter_of(LITE_ARTISTS), order_of(LITE_ARTISTS)
LiteGenreFilter, LiteGenreOrder = filter_of(LITE_GENRES), order_of(LITE_GENRES)
LiteMediaTypeFilter, LiteMediaTypeOrder = filter_of(LITE_MEDIA_TYPES), order_of(LITE_MEDIA_TYPES)
LitePlaylistFilter, LitePlaylistOrder = filter_of(LITE_PLAYLISTS), order_of(LITE_PLAYLISTS)
LiteAlbumFilter, LiteAlbumOrder = filter_of(LITE_ALBUMS), order_of(LITE_ALBUMS)
LiteTrackFilter, LiteTrackOrder = filter_of(LITE_TRACKS), order_of(LITE_TRACKS)
LitePlaylistTrackFilter, LitePlaylistTrackOrder = filter_of(LITE_PLAYLIST_TRACKS), order_of(LITE_PLAYLIST_TRACKS)
LiteEmployeeFilter, LiteEmployeeOrder = filter_of(LITE_EMPLOYEES), order_of(LITE_EMPLOYEES)
LiteCustomerFilter, LiteCustomerOrder = filter_of(LITE_CUSTOMERS), order_of(LITE_CUSTOMERS)
LiteInvoiceFilter, LiteInvoiceOrder = filter_of(LITE_INVOICES), order_of(LITE_INVOICES)
LiteInvoiceLineFilter, LiteInvoiceLineOrder = filter_of(LITE_INVOICE_LINES), order_of(LITE_INVOICE_LINES)

# --------------------------------------------------------------------------------------------------------------- counts


@strawberry.enum
class InvoiceGroup(Enum):
    COUNTRY = "billing_country"
    TIME = "time"


@strawberry.type
class InvoiceStat:
    billing_country: str | None = column()
    bucket: DateTime | None = column()
    invoices: int = column()
    paid: Decimal | None = column()
    least: Decimal | None = column()
    last: DateTime | None = column()


@strawberry.enum
class DocumentGroup(Enum):
    STATUS = "status"
    CITY = "billing_city"


@strawberry.type
class DocumentStat:
    status: str | None = column()
    billing_city: str | None = column()
    invoices: int = column()
    paid: Decimal | None = column()
    most: Decimal | None = column()
    first: DateTime | None = column()


@strawberry.enum
class PlayGroup(Enum):
    LISTENER = "customer_id"
    TRACK = "track_id"
    TIME = "time"


@strawberry.type
class PlayStat:
    customer_id: strawberry.ID | None = column()
    track_id: strawberry.ID | None = column()
    bucket: DateTime | None = column()
    plays: int = column()
    longest: float | None = column()
    last: DateTime | None = column()
    listener: Listener | None = one(LISTENERS, by="customer_id")
    track: Track | None = one(TRACKS, by="track_id")


@strawberry.enum
class OrderGroup(Enum):
    BAND = "band"
    CUSTOMER = "customer_id"


@strawberry.type
class OrderStat:
    band: str | None = column()
    customer_id: strawberry.ID | None = column()
    orders: int = column()
    first: DateTime | None = column()
    last: DateTime | None = column()
    customer: Customer | None = one(CUSTOMERS, by="customer_id")


@strawberry.enum
class LiteTrackGroup(Enum):
    GENRE = "genre_id"
    PRICE = "unit_price"


@strawberry.type
class LiteTrackStat:
    genre_id: strawberry.ID | None = column()
    unit_price: Decimal | None = column()
    tracks: int = column()
    length: BigInt | None = column()
    mean: float | None = column()
    worth: Decimal | None = column()
    genre: LiteGenre | None = one(LITE_GENRES, by="genre_id")


INVOICE_MEASURES = {"invoices": count(), "paid": total("total"), "least": minimum("total"), "last": maximum("invoice_date")}
DOCUMENT_MEASURES = {"invoices": count(), "paid": total("total"), "most": maximum("total"), "first": minimum("date")}
PLAY_MEASURES = {"plays": count(), "longest": maximum("seconds"), "last": maximum("at")}
ORDER_MEASURES = {"orders": count(), "first": minimum("placed_at"), "last": maximum("placed_at")}
LITE_TRACK_MEASURES = {"tracks": count(), "length": total("milliseconds"), "mean": average("milliseconds"), "worth": total("unit_price")}

# --------------------------------------------------------------------------------------------------- types: PostgreSQL


@strawberry.type
class Artist(Node):
    name: str | None = column()
    albums: Connection[Album] | None = many(ALBUMS, by="artist_id", where=AlbumFilter, order=AlbumOrder)
    node: ArtistNode | None = one(ARTIST_NODES, by="artist_id")
    lite: LiteArtist | None = one(LITE_ARTISTS, by="artist_id")


@strawberry.type
class Genre(Node):
    name: str | None = column()
    tracks: Connection[Track] | None = many(TRACKS, by="genre_id", where=TrackFilter, order=TrackOrder)
    lite: LiteGenre | None = one(LITE_GENRES, by="genre_id")


@strawberry.type
class MediaType(Node):
    name: str | None = column()
    tracks: Connection[Track] | None = many(TRACKS, by="media_type_id", where=TrackFilter, order=TrackOrder)
    lite: LiteMediaType | None = one(LITE_MEDIA_TYPES, by="media_type_id")


@strawberry.type
class Playlist(Node):
    name: str | None = column()
    entries: Connection[PlaylistTrack] | None = many(PLAYLIST_TRACKS, by="playlist_id", where=PlaylistTrackFilter, order=PlaylistTrackOrder)
    tracks: Connection[Track] | None = many(
        TRACKS, through=Through(PLAYLIST_TRACKS, parent="playlist_id", node="track_id"), where=TrackFilter, order=TrackOrder
    )
    lite: LitePlaylist | None = one(LITE_PLAYLISTS, by="playlist_id")


@strawberry.type
class PlaylistTrack(Node):
    playlist_id: strawberry.ID = column()
    track_id: strawberry.ID = column()
    playlist: Playlist | None = one(PLAYLISTS, by="playlist_id")
    track: Track | None = one(TRACKS, by="track_id")
    lite: LitePlaylistTrack | None = one(LITE_PLAYLIST_TRACKS, by=("playlist_id", "track_id"))


@strawberry.type
class Album(Node):
    title: str = column()
    artist_id: strawberry.ID = column()
    artist: Artist | None = one(ARTISTS, by="artist_id")
    tracks: Connection[Track] | None = many(TRACKS, by="album_id", where=TrackFilter, order=TrackOrder)
    lite: LiteAlbum | None = one(LITE_ALBUMS, by="album_id")


@strawberry.type
class Track(Node):
    name: str = column()
    album_id: strawberry.ID | None = column()
    media_type_id: strawberry.ID = column()
    genre_id: strawberry.ID | None = column()
    composer: str | None = column()
    milliseconds: int = column()
    bytes: int | None = column()
    unit_price: Decimal = column()
    album: Album | None = one(ALBUMS, by="album_id")
    media_type: MediaType | None = one(MEDIA_TYPES, by="media_type_id")
    genre: Genre | None = one(GENRES, by="genre_id")
    playlists: Connection[Playlist] | None = many(
        PLAYLISTS, through=Through(PLAYLIST_TRACKS, parent="track_id", node="playlist_id"), where=PlaylistFilter, order=PlaylistOrder
    )
    invoice_lines: Connection[InvoiceLine] | None = many(INVOICE_LINES, by="track_id", where=InvoiceLineFilter, order=InvoiceLineOrder)
    order_lines: Connection[OrderLine] | None = many(ORDER_LINES, by="track_id", where=OrderLineFilter, order=OrderLineOrder)
    node: TrackNode | None = one(TRACK_NODES, by="track_id")
    plays: Connection[Play] | None = many(PLAYS, by="track_id", where=PlayFilter, order=PlayOrder)
    play_stats: list[PlayStat] | None = stats(
        PLAYS,
        by="track_id",
        time="at",
        bucket="bucket",
        measures=PLAY_MEASURES,
        where=PlayFilter,
        group=PlayGroup,
        default=[],
        interval=Interval,
    )
    listeners: Connection[Listener] | None = many(
        LISTENERS, through=Through(PLAYS, parent="track_id", node="customer_id"), where=ListenerFilter, order=ListenerOrder
    )
    lite: LiteTrack | None = one(LITE_TRACKS, by="track_id")


@strawberry.type
class Employee(Node):
    last_name: str = column()
    first_name: str = column()
    title: str | None = column()
    reports_to: strawberry.ID | None = column()
    birth_date: DateTime | None = column()
    hire_date: DateTime | None = column()
    address: str | None = column()
    city: str | None = column()
    state: str | None = column()
    country: str | None = column()
    postal_code: str | None = column()
    phone: str | None = column()
    fax: str | None = column()
    email: str | None = column()
    boss: Employee | None = one(EMPLOYEES, by="reports_to")
    team: Connection[Employee] | None = many(EMPLOYEES, by="reports_to", where=EmployeeFilter, order=EmployeeOrder)
    customers: Connection[Customer] | None = many(CUSTOMERS, by="support_rep_id", where=CustomerFilter, order=CustomerOrder)
    documents: Connection[CustomerDocument] | None = many(
        CUSTOMER_DOCUMENTS, by="support_rep_id", where=CustomerDocumentFilter, order=CustomerDocumentOrder
    )
    lite: LiteEmployee | None = one(LITE_EMPLOYEES, by="employee_id")


@strawberry.type
class Customer(Node):
    first_name: str = column()
    last_name: str = column()
    company: str | None = column()
    address: str | None = column()
    city: str | None = column()
    state: str | None = column()
    country: str | None = column()
    postal_code: str | None = column()
    phone: str | None = column()
    fax: str | None = column()
    email: str = column()
    support_rep_id: strawberry.ID | None = column()
    support_rep: Employee | None = one(EMPLOYEES, by="support_rep_id")
    invoices: Connection[Invoice] | None = many(INVOICES, by="customer_id", where=InvoiceFilter, order=InvoiceOrder)
    invoice_stats: list[InvoiceStat] | None = stats(
        INVOICES,
        by="customer_id",
        time="invoice_date",
        bucket="bucket",
        measures=INVOICE_MEASURES,
        where=InvoiceFilter,
        group=InvoiceGroup,
        default=[],
        interval=Interval,
    )
    orders: Connection[Order] | None = many(ORDERS, by="customer_id", where=OrderFilter, order=OrderOrder)
    kept_orders: Connection[KeptOrder] | None = many(KEPT_ORDERS, by="customer_id", where=KeptOrderFilter, order=KeptOrderOrder)
    live_orders: Connection[LiveOrder] | None = many(LIVE_ORDERS, by="customer_id", where=LiveOrderFilter, order=LiveOrderOrder)
    document: CustomerDocument | None = one(CUSTOMER_DOCUMENTS, by="customer_id", to="customer_id")
    listener: Listener | None = one(LISTENERS, by="customer_id")
    plays: Connection[Play] | None = many(PLAYS, by="customer_id", where=PlayFilter, order=PlayOrder)
    played: Connection[Track] | None = many(
        TRACKS, through=Through(PLAYS, parent="customer_id", node="track_id"), where=TrackFilter, order=TrackOrder
    )
    followed: Connection[Artist] | None = many(
        ARTISTS, through=Through(FOLLOWS, parent="customer_id", node="artist_id"), where=ArtistFilter, order=ArtistOrder
    )
    lite: LiteCustomer | None = one(LITE_CUSTOMERS, by="customer_id")


@strawberry.type
class Invoice(Node):
    customer_id: strawberry.ID = column()
    invoice_date: DateTime = column()
    billing_address: str | None = column()
    billing_city: str | None = column()
    billing_state: str | None = column()
    billing_country: str | None = column()
    billing_postal_code: str | None = column()
    total: Decimal = column()
    customer: Customer | None = one(CUSTOMERS, by="customer_id")
    lines: Connection[InvoiceLine] | None = many(INVOICE_LINES, by="invoice_id", where=InvoiceLineFilter, order=InvoiceLineOrder)
    lite: LiteInvoice | None = one(LITE_INVOICES, by="invoice_id")


@strawberry.type
class InvoiceLine(Node):
    invoice_id: strawberry.ID = column()
    track_id: strawberry.ID = column()
    unit_price: Decimal = column()
    quantity: int = column()
    invoice: Invoice | None = one(INVOICES, by="invoice_id")
    track: Track | None = one(TRACKS, by="track_id")
    lite: LiteInvoiceLine | None = one(LITE_INVOICE_LINES, by="invoice_line_id")


@strawberry.type
class Meta:
    n: int | None = column()
    k: int | None = column()


META = (integer("n", nullable=True), integer("k", nullable=True, at="deep.k"))


@strawberry.type
class Order(Node):
    customer_id: strawberry.ID = column()
    placed_at: DateTime = column()
    band: str = column()
    tags: list[str] = column()
    sizes: list[int] | None = column()
    meta: Meta = embedded("meta", columns=META)
    note: str | None = column()
    deleted_at: DateTime | None = column()
    receipt: Base64 | None = column()
    customer: Customer | None = one(CUSTOMERS, by="customer_id")
    lines: Connection[OrderLine] | None = many(ORDER_LINES, by="order_id", where=OrderLineFilter, order=OrderLineOrder)


@strawberry.type
class KeptOrder(Node):
    customer_id: strawberry.ID = column()
    placed_at: DateTime = column()
    band: str = column()
    note: str | None = column()
    deleted_at: DateTime | None = column()
    customer: Customer | None = one(CUSTOMERS, by="customer_id")
    lines: Connection[OrderLine] | None = many(ORDER_LINES, by="order_id", where=OrderLineFilter, order=OrderLineOrder)


@strawberry.type
class LiveOrder(Node):
    customer_id: strawberry.ID | None = column()
    placed_at: DateTime | None = column()
    band: str | None = column()
    tags: list[str] | None = column()
    note: str | None = column()
    receipt: Base64 | None = column()
    customer: Customer | None = one(CUSTOMERS, by="customer_id")
    lines: Connection[OrderLine] | None = many(ORDER_LINES, by="order_id", where=OrderLineFilter, order=OrderLineOrder)


@strawberry.type
class OrderLine(Node):
    order_id: strawberry.ID = column()
    line_no: int = column()
    track_id: strawberry.ID = column()
    price: Decimal = column()
    order: Order | None = one(ORDERS, by="order_id")
    kept_order: KeptOrder | None = one(KEPT_ORDERS, by="order_id")
    live_order: LiveOrder | None = one(LIVE_ORDERS, by="order_id", to="id")
    track: Track | None = one(TRACKS, by="track_id")


# ------------------------------------------------------------------------------------------------------ types: MongoDB


@strawberry.type
class Address:
    street: str | None = column()
    city: str | None = column()
    country: str | None = column()
    postal_code: str | None = column()


@strawberry.type
class CustomerDocument(Node):
    customer_id: strawberry.ID = column()
    first_name: str | None = column()
    last_name: str | None = column()
    email: str | None = column()
    city: str | None = column()
    country: str | None = column()
    since: DateTime | None = column()
    active: bool | None = column()
    company: str | None = column()
    support_rep_id: strawberry.ID | None = column()
    address: Address | None = embedded("address", columns=PLACE)
    customer: Customer | None = one(CUSTOMERS, by="customer_id")
    support_rep: Employee | None = one(EMPLOYEES, by="support_rep_id")
    listener: Listener | None = one(LISTENERS, by="customer_id")
    lite: LiteCustomer | None = one(LITE_CUSTOMERS, by="customer_id")
    invoices: Connection[InvoiceDocument] | None = many(
        INVOICE_DOCUMENTS, by="customer", where=InvoiceDocumentFilter, order=InvoiceDocumentOrder
    )
    invoice_stats: list[DocumentStat] | None = stats(
        INVOICE_DOCUMENTS, by="customer", measures=DOCUMENT_MEASURES, where=InvoiceDocumentFilter, group=DocumentGroup, default=[]
    )
    orders: Connection[Order] | None = many(ORDERS, by="customer_id", to="customer_id", where=OrderFilter, order=OrderOrder)


@strawberry.type
class Line:
    track_id: strawberry.ID = column()
    unit_price: Decimal = column()
    quantity: int = column()
    track: Track | None = one(TRACKS, by="track_id")
    node: TrackNode | None = one(TRACK_NODES, by="track_id")
    plays: Connection[Play] | None = many(PLAYS, by="track_id", to="track_id", where=PlayFilter, order=PlayOrder)


@strawberry.type
class InvoiceDocument(Node):
    number: BigInt = column()
    customer_id: strawberry.ID = column("customer")
    date: DateTime = column()
    total: Decimal = column()
    billing_city: str | None = column()
    billing_country: str | None = column()
    status: str = column()
    lines: list[Line] = embedded("lines", columns=LINE)
    customer: CustomerDocument | None = one(CUSTOMER_DOCUMENTS, by="customer")


# -------------------------------------------------------------------------------------------------------- types: Neo4j


@strawberry.type
class Listener(Node):
    name: str | None = column()
    customer: Customer | None = one(CUSTOMERS, by="customer_id")
    document: CustomerDocument | None = one(CUSTOMER_DOCUMENTS, by="customer_id", to="customer_id")
    plays: Connection[Play] | None = many(PLAYS, by="customer_id", where=PlayFilter, order=PlayOrder)
    play_stats: list[PlayStat] | None = stats(
        PLAYS,
        by="customer_id",
        time="at",
        bucket="bucket",
        measures=PLAY_MEASURES,
        where=PlayFilter,
        group=PlayGroup,
        default=[],
        interval=Interval,
    )
    played: Connection[TrackNode] | None = many(
        TRACK_NODES, through=Through(PLAYS, parent="customer_id", node="track_id"), where=TrackNodeFilter, order=TrackNodeOrder
    )
    follows: Connection[Follow] | None = many(FOLLOWS, by="customer_id", where=FollowFilter, order=FollowOrder)
    followed: Connection[ArtistNode] | None = many(
        ARTIST_NODES, through=Through(FOLLOWS, parent="customer_id", node="artist_id"), where=ArtistNodeFilter, order=ArtistNodeOrder
    )


@strawberry.type
class TrackNode(Node):
    name: str | None = column()
    seconds: float | None = column()
    track: Track | None = one(TRACKS, by="track_id")
    plays: Connection[Play] | None = many(PLAYS, by="track_id", where=PlayFilter, order=PlayOrder)
    listeners: Connection[Listener] | None = many(
        LISTENERS, through=Through(PLAYS, parent="track_id", node="customer_id"), where=ListenerFilter, order=ListenerOrder
    )
    performers: Connection[ArtistNode] | None = many(
        ARTIST_NODES, through=Through(PERFORMANCES, parent="track_id", node="artist_id"), where=ArtistNodeFilter, order=ArtistNodeOrder
    )


@strawberry.type
class ArtistNode(Node):
    name: str | None = column()
    artist: Artist | None = one(ARTISTS, by="artist_id")
    performances: Connection[Performance] | None = many(PERFORMANCES, by="artist_id", where=PerformanceFilter, order=PerformanceOrder)
    tracks: Connection[TrackNode] | None = many(
        TRACK_NODES, through=Through(PERFORMANCES, parent="artist_id", node="track_id"), where=TrackNodeFilter, order=TrackNodeOrder
    )
    followers: Connection[Listener] | None = many(
        LISTENERS, through=Through(FOLLOWS, parent="artist_id", node="customer_id"), where=ListenerFilter, order=ListenerOrder
    )


@strawberry.type
class Play(Node):
    customer_id: strawberry.ID = column()
    track_id: strawberry.ID = column()
    at: DateTime = column()
    seconds: float = column()
    listener: Listener | None = one(LISTENERS, by="customer_id")
    customer: Customer | None = one(CUSTOMERS, by="customer_id")
    track_node: TrackNode | None = one(TRACK_NODES, by="track_id")
    track: Track | None = one(TRACKS, by="track_id")


@strawberry.type
class Follow(Node):
    customer_id: strawberry.ID = column()
    artist_id: strawberry.ID = column()
    since: Date = column()
    listener: Listener | None = one(LISTENERS, by="customer_id")
    artist_node: ArtistNode | None = one(ARTIST_NODES, by="artist_id")
    artist: Artist | None = one(ARTISTS, by="artist_id")


@strawberry.type
class Performance(Node):
    artist_id: strawberry.ID = column()
    track_id: strawberry.ID = column()
    artist_node: ArtistNode | None = one(ARTIST_NODES, by="artist_id")
    track: Track | None = one(TRACKS, by="track_id")


# ------------------------------------------------------------------------------------------------------- types: SQLite


@strawberry.type
class LiteArtist(Node):
    name: str | None = column()
    albums: Connection[LiteAlbum] | None = many(LITE_ALBUMS, by="artist_id", where=LiteAlbumFilter, order=LiteAlbumOrder)
    artist: Artist | None = one(ARTISTS, by="artist_id")


@strawberry.type
class LiteGenre(Node):
    name: str | None = column()
    tracks: Connection[LiteTrack] | None = many(LITE_TRACKS, by="genre_id", where=LiteTrackFilter, order=LiteTrackOrder)


@strawberry.type
class LiteMediaType(Node):
    name: str | None = column()
    tracks: Connection[LiteTrack] | None = many(LITE_TRACKS, by="media_type_id", where=LiteTrackFilter, order=LiteTrackOrder)


@strawberry.type
class LitePlaylist(Node):
    name: str | None = column()
    entries: Connection[LitePlaylistTrack] | None = many(
        LITE_PLAYLIST_TRACKS, by="playlist_id", where=LitePlaylistTrackFilter, order=LitePlaylistTrackOrder
    )
    tracks: Connection[LiteTrack] | None = many(
        LITE_TRACKS,
        through=Through(LITE_PLAYLIST_TRACKS, parent="playlist_id", node="track_id"),
        where=LiteTrackFilter,
        order=LiteTrackOrder,
    )


@strawberry.type
class LitePlaylistTrack(Node):
    playlist_id: strawberry.ID = column()
    track_id: strawberry.ID = column()
    playlist: LitePlaylist | None = one(LITE_PLAYLISTS, by="playlist_id")
    track: LiteTrack | None = one(LITE_TRACKS, by="track_id")
    entry: PlaylistTrack | None = one(PLAYLIST_TRACKS, by=("playlist_id", "track_id"))


@strawberry.type
class LiteAlbum(Node):
    title: str = column()
    artist_id: strawberry.ID = column()
    artist: LiteArtist | None = one(LITE_ARTISTS, by="artist_id")
    tracks: Connection[LiteTrack] | None = many(LITE_TRACKS, by="album_id", where=LiteTrackFilter, order=LiteTrackOrder)


@strawberry.type
class LiteTrack(Node):
    name: str = column()
    album_id: strawberry.ID | None = column()
    media_type_id: strawberry.ID = column()
    genre_id: strawberry.ID | None = column()
    composer: str | None = column()
    milliseconds: BigInt = column()
    bytes: BigInt | None = column()
    unit_price: Decimal = column()
    album: LiteAlbum | None = one(LITE_ALBUMS, by="album_id")
    media_type: LiteMediaType | None = one(LITE_MEDIA_TYPES, by="media_type_id")
    genre: LiteGenre | None = one(LITE_GENRES, by="genre_id")
    playlists: Connection[LitePlaylist] | None = many(
        LITE_PLAYLISTS,
        through=Through(LITE_PLAYLIST_TRACKS, parent="track_id", node="playlist_id"),
        where=LitePlaylistFilter,
        order=LitePlaylistOrder,
    )
    invoice_lines: Connection[LiteInvoiceLine] | None = many(
        LITE_INVOICE_LINES, by="track_id", where=LiteInvoiceLineFilter, order=LiteInvoiceLineOrder
    )
    track: Track | None = one(TRACKS, by="track_id")
    node: TrackNode | None = one(TRACK_NODES, by="track_id")


@strawberry.type
class LiteEmployee(Node):
    last_name: str = column()
    first_name: str = column()
    title: str | None = column()
    reports_to: strawberry.ID | None = column()
    birth_date: DateTime | None = column()
    hire_date: DateTime | None = column()
    city: str | None = column()
    email: str | None = column()
    boss: LiteEmployee | None = one(LITE_EMPLOYEES, by="reports_to")
    team: Connection[LiteEmployee] | None = many(LITE_EMPLOYEES, by="reports_to", where=LiteEmployeeFilter, order=LiteEmployeeOrder)
    customers: Connection[LiteCustomer] | None = many(
        LITE_CUSTOMERS, by="support_rep_id", where=LiteCustomerFilter, order=LiteCustomerOrder
    )


@strawberry.type
class LiteCustomer(Node):
    first_name: str = column()
    last_name: str = column()
    company: str | None = column()
    country: str | None = column()
    state: str | None = column()
    email: str = column()
    support_rep_id: strawberry.ID | None = column()
    support_rep: LiteEmployee | None = one(LITE_EMPLOYEES, by="support_rep_id")
    invoices: Connection[LiteInvoice] | None = many(LITE_INVOICES, by="customer_id", where=LiteInvoiceFilter, order=LiteInvoiceOrder)
    invoice_stats: list[InvoiceStat] | None = stats(
        LITE_INVOICES,
        by="customer_id",
        time="invoice_date",
        bucket="bucket",
        measures=INVOICE_MEASURES,
        where=LiteInvoiceFilter,
        group=InvoiceGroup,
        default=[],
        interval=Interval,
    )
    document: CustomerDocument | None = one(CUSTOMER_DOCUMENTS, by="customer_id", to="customer_id")


@strawberry.type
class LiteInvoice(Node):
    customer_id: strawberry.ID = column()
    invoice_date: DateTime = column()
    billing_address: str | None = column()
    billing_city: str | None = column()
    billing_state: str | None = column()
    billing_country: str | None = column()
    billing_postal_code: str | None = column()
    total: Decimal = column()
    customer: LiteCustomer | None = one(LITE_CUSTOMERS, by="customer_id")
    lines: Connection[LiteInvoiceLine] | None = many(
        LITE_INVOICE_LINES, by="invoice_id", where=LiteInvoiceLineFilter, order=LiteInvoiceLineOrder
    )


@strawberry.type
class LiteInvoiceLine(Node):
    invoice_id: strawberry.ID = column()
    track_id: strawberry.ID = column()
    unit_price: Decimal = column()
    quantity: BigInt = column()
    invoice: LiteInvoice | None = one(LITE_INVOICES, by="invoice_id")
    track: LiteTrack | None = one(LITE_TRACKS, by="track_id")


# ---------------------------------------------------------------------------------------------------------------- root


@strawberry.type
class Query:
    node: Node | None = node()
    nodes: list[Node | None] = nodes()

    artist: Artist | None = lookup(ARTISTS, by={"id": "artist_id"})
    playlist_track: PlaylistTrack | None = lookup(PLAYLIST_TRACKS, by={"id": "playlist_id,track_id"})
    track: Track | None = lookup(TRACKS, by={"id": "track_id"})
    customer: Customer | None = lookup(CUSTOMERS, by={"id": "customer_id"})
    order: Order | None = lookup(ORDERS, by={"id": "id"})
    order_line: OrderLine | None = lookup(ORDER_LINES, by={"id": "order_id,line_no"})
    customer_document: CustomerDocument | None = lookup(CUSTOMER_DOCUMENTS, by={"id": "id", "customer_id": "customer_id"})
    invoice_document: InvoiceDocument | None = lookup(INVOICE_DOCUMENTS, by={"id": "id"})
    listener: Listener | None = lookup(LISTENERS, by={"id": "customer_id"})
    play: Play | None = lookup(PLAYS, by={"id": "id"})
    follow: Follow | None = lookup(FOLLOWS, by={"id": "customer_id,artist_id"})
    lite_track: LiteTrack | None = lookup(LITE_TRACKS, by={"id": "track_id"})

    artists: Connection[Artist] | None = many(ARTISTS, where=ArtistFilter, order=ArtistOrder)
    genres: Connection[Genre] | None = many(GENRES, where=GenreFilter, order=GenreOrder)
    media_types: Connection[MediaType] | None = many(MEDIA_TYPES, where=MediaTypeFilter, order=MediaTypeOrder)
    playlists: Connection[Playlist] | None = many(PLAYLISTS, where=PlaylistFilter, order=PlaylistOrder)
    playlist_tracks: Connection[PlaylistTrack] | None = many(PLAYLIST_TRACKS, where=PlaylistTrackFilter, order=PlaylistTrackOrder)
    albums: Connection[Album] | None = many(ALBUMS, where=AlbumFilter, order=AlbumOrder)
    tracks: Connection[Track] | None = many(TRACKS, where=TrackFilter, order=TrackOrder)
    employees: Connection[Employee] | None = many(EMPLOYEES, where=EmployeeFilter, order=EmployeeOrder)
    customers: Connection[Customer] | None = many(CUSTOMERS, where=CustomerFilter, order=CustomerOrder)
    invoices: Connection[Invoice] | None = many(INVOICES, where=InvoiceFilter, order=InvoiceOrder)
    invoice_lines: Connection[InvoiceLine] | None = many(INVOICE_LINES, where=InvoiceLineFilter, order=InvoiceLineOrder)
    orders: Connection[Order] | None = many(ORDERS, where=OrderFilter, order=OrderOrder)
    kept_orders: Connection[KeptOrder] | None = many(KEPT_ORDERS, where=KeptOrderFilter, order=KeptOrderOrder)
    live_orders: Connection[LiveOrder] | None = many(LIVE_ORDERS, where=LiveOrderFilter, order=LiveOrderOrder)
    order_lines: Connection[OrderLine] | None = many(ORDER_LINES, where=OrderLineFilter, order=OrderLineOrder)
    customer_documents: Connection[CustomerDocument] | None = many(
        CUSTOMER_DOCUMENTS, where=CustomerDocumentFilter, order=CustomerDocumentOrder
    )
    invoice_documents: Connection[InvoiceDocument] | None = many(INVOICE_DOCUMENTS, where=InvoiceDocumentFilter, order=InvoiceDocumentOrder)
    listeners: Connection[Listener] | None = many(LISTENERS, where=ListenerFilter, order=ListenerOrder)
    track_nodes: Connection[TrackNode] | None = many(TRACK_NODES, where=TrackNodeFilter, order=TrackNodeOrder)
    artist_nodes: Connection[ArtistNode] | None = many(ARTIST_NODES, where=ArtistNodeFilter, order=ArtistNodeOrder)
    plays: Connection[Play] | None = many(PLAYS, where=PlayFilter, order=PlayOrder)
    follows: Connection[Follow] | None = many(FOLLOWS, where=FollowFilter, order=FollowOrder)
    performances: Connection[Performance] | None = many(PERFORMANCES, where=PerformanceFilter, order=PerformanceOrder)
    lite_artists: Connection[LiteArtist] | None = many(LITE_ARTISTS, where=LiteArtistFilter, order=LiteArtistOrder)
    lite_genres: Connection[LiteGenre] | None = many(LITE_GENRES, where=LiteGenreFilter, order=LiteGenreOrder)
    lite_media_types: Connection[LiteMediaType] | None = many(LITE_MEDIA_TYPES, where=LiteMediaTypeFilter, order=LiteMediaTypeOrder)
    lite_playlists: Connection[LitePlaylist] | None = many(LITE_PLAYLISTS, where=LitePlaylistFilter, order=LitePlaylistOrder)
    lite_playlist_tracks: Connection[LitePlaylistTrack] | None = many(
        LITE_PLAYLIST_TRACKS, where=LitePlaylistTrackFilter, order=LitePlaylistTrackOrder
    )
    lite_albums: Connection[LiteAlbum] | None = many(LITE_ALBUMS, where=LiteAlbumFilter, order=LiteAlbumOrder)
    lite_tracks: Connection[LiteTrack] | None = many(LITE_TRACKS, where=LiteTrackFilter, order=LiteTrackOrder)
    lite_employees: Connection[LiteEmployee] | None = many(LITE_EMPLOYEES, where=LiteEmployeeFilter, order=LiteEmployeeOrder)
    lite_customers: Connection[LiteCustomer] | None = many(LITE_CUSTOMERS, where=LiteCustomerFilter, order=LiteCustomerOrder)
    lite_invoices: Connection[LiteInvoice] | None = many(LITE_INVOICES, where=LiteInvoiceFilter, order=LiteInvoiceOrder)
    lite_invoice_lines: Connection[LiteInvoiceLine] | None = many(
        LITE_INVOICE_LINES, where=LiteInvoiceLineFilter, order=LiteInvoiceLineOrder
    )

    order_stats: list[OrderStat] | None = stats(
        ORDERS, measures=ORDER_MEASURES, where=OrderFilter, group=OrderGroup, default=[OrderGroup.BAND]
    )
    document_stats: list[DocumentStat] | None = stats(
        INVOICE_DOCUMENTS, measures=DOCUMENT_MEASURES, where=InvoiceDocumentFilter, group=DocumentGroup, default=[DocumentGroup.STATUS]
    )
    play_stats: list[PlayStat] | None = stats(
        PLAYS, time="at", bucket="bucket", measures=PLAY_MEASURES, where=PlayFilter, group=PlayGroup, default=[], interval=Interval
    )
    lite_track_stats: list[LiteTrackStat] | None = stats(
        LITE_TRACKS, measures=LITE_TRACK_MEASURES, where=LiteTrackFilter, group=LiteTrackGroup, default=[LiteTrackGroup.GENRE]
    )


OF_MUSIC = (ARTISTS, GENRES, MEDIA_TYPES, PLAYLISTS, PLAYLIST_TRACKS, ALBUMS, TRACKS, EMPLOYEES, CUSTOMERS, INVOICES, INVOICE_LINES)
OF_ORDERS = (ORDERS, KEPT_ORDERS, LIVE_ORDERS, ORDER_LINES)
OF_DOCUMENTS = (CUSTOMER_DOCUMENTS, INVOICE_DOCUMENTS)
OF_NODES = (LISTENERS, TRACK_NODES, ARTIST_NODES, PLAYS, FOLLOWS, PERFORMANCES)
OF_LAPTOP = (
    *(LITE_ARTISTS, LITE_GENRES, LITE_MEDIA_TYPES, LITE_PLAYLISTS, LITE_PLAYLIST_TRACKS, LITE_ALBUMS, LITE_TRACKS, LITE_EMPLOYEES),
    *(LITE_CUSTOMERS, LITE_INVOICES, LITE_INVOICE_LINES),
)
COLLECTIONS = (*OF_MUSIC, *OF_ORDERS, *OF_DOCUMENTS, *OF_NODES, *OF_LAPTOP)

GRAPH = Graph(schema=strawberry.Schema(query=Query, config=StrawberryConfig(scalar_map=SCALARS)), collections=COLLECTIONS)
