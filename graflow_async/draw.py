"""Drawings (being written)."""


def to_mermaid(graph):
    return ""


def to_dot(graph, name):
    return ""


def to_ascii(graph):
    return ""


def to_svg(graph, name):
    return ""


def to_html(graph, name):
    return ""
